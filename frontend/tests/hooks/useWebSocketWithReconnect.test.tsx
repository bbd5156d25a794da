import { act, renderHook } from "@testing-library/react";
import { StrictMode } from "react";
import { renderToString } from "react-dom/server";
import { expect, it, vi } from "vitest";
import { useWebSocketWithReconnect } from "@/hooks/useWebSocketWithReconnect";
import { FakeTokens } from "../fakes/tokens";
import { FakeWorld } from "../fakes/world";

const URL_DEMO = "ws://relay/ws?session=demo";

function setUp(url: string | null = URL_DEMO, strict = false) {
  const world = new FakeWorld();
  const onDelivery = vi.fn();
  const hook = renderHook(
    (props: { url: string | null; token?: string }) =>
      useWebSocketWithReconnect(props.url, {
        environment: world,
        onDelivery,
        token: props.token ?? null,
      }),
    {
      initialProps: { url } as { url: string | null; token?: string },
      ...(strict ? { wrapper: StrictMode } : {}),
    },
  );
  const pass = (ms: number) => act(() => world.advance(ms));
  return { ...hook, world, onDelivery, pass };
}

it("opens a socket on mount and closes it on unmount", () => {
  const { result, world, pass, unmount } = setUp();
  expect(result.current).toMatchObject({ isConnected: false, status: "connecting", socket: null });
  pass(0);
  act(() => world.socket.greet());
  expect(result.current.isConnected).toBe(true);
  expect(result.current.socket).toBe(world.socket);
  unmount();
  expect(world.socket.closedWith).toBe(1000);
  expect([world.timers, world.listeners, world.liveSockets]).toEqual([0, 0, 0]);
});

it("opens exactly one socket under strict mode's double mount, and leaks nothing", () => {
  const { result, world, pass, unmount } = setUp(URL_DEMO, true);
  pass(60);
  expect(world.sockets).toHaveLength(1);
  expect(world.listeners).toBe(4);
  act(() => world.socket.greet());
  expect(result.current.isConnected).toBe(true);
  unmount();
  pass(120_000);
  expect(world.sockets).toHaveLength(1);
  expect([world.timers, world.listeners, world.liveSockets]).toEqual([0, 0, 0]);
});

it("says that it reconnects, when, and for how long already", () => {
  const { result, world, pass } = setUp();
  pass(0);
  act(() => world.socket.greet());
  act(() => world.socket.breakOff());
  expect(result.current).toMatchObject({
    isConnected: false,
    status: "reconnecting",
    attempt: 1,
    retryAtMs: world.nowMs() + 550,
  });
  act(() => result.current.retryNow());
  expect(world.sockets).toHaveLength(2);
});

it("keeps its socket from render to render, and uses the newest callback", () => {
  const { world, pass, rerender, onDelivery } = setUp();
  pass(0);
  act(() => world.socket.greet());
  rerender({ url: URL_DEMO });
  expect(world.sockets).toHaveLength(1);
  onDelivery.mockClear();
  act(() => world.socket.receive({ type: "hint", text: "hi" }));
  expect(onDelivery).toHaveBeenCalledOnce();
});

it("reconnects from where it was with a new token", () => {
  const { world, pass, rerender } = setUp();
  pass(0);
  act(() => world.socket.greet({ position: "7-3" }));
  rerender({ url: URL_DEMO, token: "abc" });
  pass(0);
  expect(world.liveSockets).toBe(1);
  expect(world.socket.protocols).toEqual(["hints.v1", "bearer.abc"]);
  expect(world.socket.query("since")).toBe("7-3");
});

it("asks another session for all of it", () => {
  const { world, pass, rerender } = setUp();
  pass(0);
  act(() => world.socket.greet({ position: "7-3" }));
  rerender({ url: "ws://relay/ws?session=other" });
  pass(0);
  expect(world.liveSockets).toBe(1);
  expect(world.socket.query("since")).toBeNull();
});

it("waits while there is no address", () => {
  const { world, pass } = setUp(null);
  pass(60_000);
  expect(world.sockets).toHaveLength(0);
});

it("sends only while it is connected", () => {
  const { result, world, pass } = setUp();
  pass(0);
  expect(result.current.send({ type: "ping" })).toBe(false);
  act(() => world.socket.greet());
  expect(result.current.send({ type: "ping" })).toBe(true);
  expect(world.socket.sent).toEqual([{ type: "ping" }]);
});

it("touches nothing while a server renders it", () => {
  const world = new FakeWorld();
  function Page() {
    return <p>{useWebSocketWithReconnect(URL_DEMO, { environment: world }).status}</p>;
  }
  expect(renderToString(<Page />)).toContain("connecting");
  expect([world.timers, world.listeners, world.sockets.length]).toEqual([0, 0, 0]);
});

it("offers another token on the connection that has one, and connects again where one was refused", () => {
  const { world, pass, rerender, result } = setUp();
  rerender({ url: URL_DEMO, token: "one" });
  pass(0);
  act(() => world.socket.greet());
  rerender({ url: URL_DEMO, token: "two" });
  expect(world.sockets).toHaveLength(1);
  expect(world.socket.sent).toEqual([{ type: "refresh", token: "two" }]);
  act(() => world.socket.receive({ type: "refreshed", expires_at: 1, role: "observer" }));
  expect(result.current.role).toBe("observer");
  act(() => world.socket.breakOff(1008));
  rerender({ url: URL_DEMO, token: "three" });
  expect(world.socket.protocols).toEqual(["hints.v1", "bearer.three"]);
});

it("asks for a token once under strict mode's double mount", async () => {
  const world = new FakeWorld();
  const tokens = new FakeTokens();
  const hook = renderHook(
    () => useWebSocketWithReconnect(URL_DEMO, { environment: world, getToken: tokens.getToken }),
    { wrapper: StrictMode },
  );
  act(() => world.advance(0));
  expect(tokens.questions).toHaveLength(1);
  await act(() => tokens.give("fresh"));
  expect(world.socket.protocols).toEqual(["hints.v1", "bearer.fresh"]);
  hook.unmount();
  expect([world.timers, world.listeners, world.liveSockets]).toEqual([0, 0, 0]);
});
