import { describe, expect, it } from "vitest";
import { httpAddresses, relayAddress, withQuery } from "@/lib/relay/url";

const HTTP = { protocol: "http:", host: "hints.example:3000" };
const HTTPS = { protocol: "https:", host: "hints.example" };

describe("relay address", () => {
  it.each([undefined, "", "  "])(
    "is /ws at the page's own origin when %j is configured",
    (none) => {
      expect(relayAddress(none, HTTP)).toMatchObject({ url: "ws://hints.example:3000/ws" });
      expect(relayAddress(none, HTTPS)).toMatchObject({ url: "wss://hints.example/ws" });
    },
  );

  it("is the configured one, port and path and all", () => {
    const address = relayAddress("ws://localhost:8000/ws", HTTP);
    expect(address).toEqual({ ok: true, url: "ws://localhost:8000/ws", upgraded: false });
  });

  it("is upgraded to wss when the page is served over https", () => {
    const address = relayAddress("ws://relay.example:8443/ws", HTTPS);
    expect(address).toEqual({ ok: true, url: "wss://relay.example:8443/ws", upgraded: true });
  });

  it("takes http addresses for what was meant", () => {
    expect(relayAddress("https://relay.example/ws", HTTP)).toMatchObject({
      url: "wss://relay.example/ws",
    });
  });

  it("has no fragment, which sockets don't take", () => {
    expect(relayAddress("wss://relay.example/ws#x", HTTP)).toMatchObject({
      url: "wss://relay.example/ws",
    });
  });

  it.each(["relay", "ftp://relay.example", "//relay"])("refuses %j", (configured) => {
    expect(relayAddress(configured, HTTP).ok).toBe(false);
  });
});

describe("query", () => {
  it("is added to what the address has, and null takes a parameter out", () => {
    const url = withQuery("ws://r/ws?zone=a&since=1-1", { session: "a~b", since: null });
    expect(url).toBe("ws://r/ws?zone=a&session=a%7Eb");
  });
});

describe("addresses beside the socket's", () => {
  it("are those of the same relay over HTTP, with what each needs of the query", () => {
    expect(httpAddresses("wss://relay.example/hints/ws?session=a~b&replay=5&guest=me")).toEqual({
      events: "https://relay.example/hints/events?session=a~b&replay=5&guest=me",
      messages: "https://relay.example/hints/sessions/a~b/messages?guest=me",
    });
    expect(httpAddresses("ws://localhost:8000/ws?session=demo")).toEqual({
      events: "http://localhost:8000/events?session=demo",
      messages: "http://localhost:8000/sessions/demo/messages",
    });
  });
});
