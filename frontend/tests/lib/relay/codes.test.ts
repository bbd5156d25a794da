import { describe, expect, it } from "vitest";
import { CLOSE_CODES, closeName, shouldReconnect } from "@/lib/relay/codes";
import { GOLDEN_CODES } from "../../fakes/golden";

describe("close codes", () => {
  it("are the ones of the golden file, all of them", () => {
    const golden = GOLDEN_CODES.map(({ code, name, reason, reconnect }) => ({
      code,
      name,
      reason,
      reconnect,
    }));
    expect([...CLOSE_CODES]).toEqual(golden);
  });

  it.each(GOLDEN_CODES)("$code $name: comes back $reconnect", ({ code, name, reconnect }) => {
    expect(shouldReconnect(code)).toBe(reconnect);
    expect(closeName(code)).toBe(name);
  });

  it("come back for codes of 4000–4099 that the table doesn't have yet", () => {
    expect(shouldReconnect(4000)).toBe(true);
    expect(shouldReconnect(4099)).toBe(true);
  });

  it("stay away for codes of 4100–4199 that the table doesn't have yet", () => {
    expect(shouldReconnect(4100)).toBe(false);
    expect(shouldReconnect(4199)).toBe(false);
    expect(closeName(4199)).toBeNull();
  });

  it("come back where a proxy closed without a word", () => {
    expect(shouldReconnect(1005)).toBe(true);
    expect(shouldReconnect(1013)).toBe(true);
  });
});
