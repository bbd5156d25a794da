import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { connectOrigins, policyFor, withPolicy } from "@/scripts/content-security-policy.mjs";

const sha256 = (code: string) => `'sha256-${createHash("sha256").update(code).digest("base64")}'`;
const PAGE =
  '<!DOCTYPE html><html lang="en"><head><meta charSet="utf-8"/><script src="/a.js" async=""></script>' +
  '</head><body><script>one("$&")</script><script id="x">two()\n</script></body></html>';

describe("a page's content security policy", () => {
  it("names each inline script by its hash, and allows none beside", () => {
    const policy = policyFor(PAGE, []);
    expect(policy).toContain(`script-src 'self' ${sha256('one("$&")')} ${sha256("two()\n")}; `);
    expect(policy).not.toContain("unsafe");
  });

  it("stands before the first script", () => {
    const html = withPolicy(PAGE, []);
    expect(html.indexOf("Content-Security-Policy")).toBeLessThan(html.indexOf("<script"));
    expect(html.replace(/<meta http-equiv[^>]*>/, "")).toBe(PAGE);
  });

  it("takes the place of an older one", () => {
    const once = withPolicy(PAGE, []);
    expect(withPolicy(once, [])).toBe(once);
    expect(withPolicy(once, ["wss://r"])).toContain("connect-src 'self' wss://r;");
  });

  it("can't be written into what has no head", () => {
    expect(() => withPolicy("<p>hi</p>", [])).toThrow("head");
  });
});

describe("where the page may connect to", () => {
  it.each<[string | undefined, string | undefined, string[]]>([
    [undefined, undefined, []],
    ["", "/api/token", []],
    [
      "wss://relay.example/ws",
      "https://app.example/token",
      ["wss://relay.example", "https://relay.example", "https://app.example"],
    ],
    ["ws://localhost:8000/ws", undefined, ["ws://localhost:8000", "http://localhost:8000"]],
    ["https://relay.example/ws", undefined, ["wss://relay.example", "https://relay.example"]],
    ["not an address", "nor this", []],
  ])("for %j and %j", (relay, tokens, origins) => {
    const settings = {
      ...(relay === undefined ? {} : { NEXT_PUBLIC_WS_URL: relay }),
      ...(tokens === undefined ? {} : { NEXT_PUBLIC_TOKEN_URL: tokens }),
    };
    expect(connectOrigins(settings)).toEqual(origins);
  });
});
