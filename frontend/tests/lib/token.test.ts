import { describe, expect, it } from "vitest";
import { subprotocols } from "@/lib/relay/subprotocols";
import { type TokenWindow, takeToken } from "@/lib/token";

function page(hash: string, kept: Record<string, string> = {}) {
  const urls: string[] = [];
  const location = { hash, pathname: "/session/facilitator", search: "?session=demo" };
  const fake: TokenWindow = {
    location,
    history: {
      state: null,
      replaceState(_state, _unused, url) {
        urls.push(url);
        location.hash = url.includes("#") ? url.slice(url.indexOf("#")) : "";
      },
    },
    sessionStorage: {
      getItem: (key) => kept[key] ?? null,
      setItem: (key, value) => {
        kept[key] = value;
      },
    },
  };
  return { fake, urls, kept };
}

describe("token", () => {
  it("is taken out of the address bar and recalled later", () => {
    const { fake, urls } = page("#token=a.b-c_d");
    expect(takeToken("demo", fake)).toBe("a.b-c_d");
    expect(urls).toEqual(["/session/facilitator?session=demo"]);
    expect(takeToken("demo", fake)).toBe("a.b-c_d");
  });

  it("belongs to one session", () => {
    const { fake } = page("#token=abc");
    takeToken("demo", fake);
    expect(takeToken("other", fake)).toBeNull();
  });

  it("leaves the rest of the fragment", () => {
    const { fake, urls } = page("#token=abc&at=5");
    takeToken("demo", fake);
    expect(urls).toEqual(["/session/facilitator?session=demo#at=5"]);
  });

  it.each(["a b", "a,b", "", "é"])("is not taken from a damaged link: %j", (damaged) => {
    const { fake, kept } = page(`#token=${encodeURIComponent(damaged)}`);
    expect(takeToken("demo", fake)).toBeNull();
    expect(kept).toEqual({});
  });

  it("works for as long as the page where storage is forbidden", () => {
    const { fake } = page("#token=abc");
    const forbidden = () => {
      throw new DOMException("forbidden", "SecurityError");
    };
    const strict = { ...fake, sessionStorage: { getItem: forbidden, setItem: forbidden } };
    expect(takeToken("demo", strict)).toBe("abc");
    expect(takeToken("demo", strict)).toBeNull();
  });

  it("goes beside the relay's own subprotocol", () => {
    expect(subprotocols(null)).toEqual(["hints.v1"]);
    expect(subprotocols("abc")).toEqual(["hints.v1", "bearer.abc"]);
  });
});
