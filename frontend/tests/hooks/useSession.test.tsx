import { act, renderHook } from "@testing-library/react";
import { expect, it } from "vitest";
import { useSession } from "@/hooks/useSession";
import { FakeWorld } from "../fakes/world";

function setUp(clearOnReconnect = false) {
  const world = new FakeWorld();
  const frames = new Set<() => void>();
  const requestFrame = (run: () => void) => {
    frames.add(run);
    return () => frames.delete(run);
  };
  let renders = 0;
  const hook = renderHook(
    (props: { clearOnReconnect: boolean }) => {
      renders += 1;
      return useSession("demo", { ...props, environment: world, requestFrame });
    },
    { initialProps: { clearOnReconnect } },
  );
  const paint = () =>
    act(() => {
      for (const run of [...frames]) {
        frames.delete(run);
        run();
      }
    });
  act(() => world.advance(0));
  return { ...hook, world, paint, renders: () => renders };
}

const hint = (n: number) => ({ position: `7-${n}`, type: "hint", id: `${n}`, text: `${n}` });

it("asks the relay at the page's own origin for the session", () => {
  const { world } = setUp();
  expect(world.socket.url).toBe("ws://localhost:3000/ws?session=demo");
});

it("renders a burst of hints once", () => {
  const { result, world, paint, renders } = setUp();
  act(() => world.socket.greet());
  paint();
  const before = renders();
  act(() => {
    for (let n = 1; n <= 300; n += 1) world.socket.receive(hint(n));
  });
  expect(result.current.state.hints.size).toBe(0);
  paint();
  expect(result.current.state.hints.size).toBe(300);
  expect(renders()).toBe(before + 1);
});

it("keeps old hints over a reconnect", () => {
  const { result, world, paint } = setUp();
  act(() => world.socket.greet());
  act(() => world.socket.receive(hint(1)));
  act(() => world.socket.breakOff());
  act(() => world.advance(1_000));
  act(() => world.socket.greet({ recovered: true }));
  act(() => world.socket.receive(hint(2)));
  paint();
  expect([...result.current.state.hints.keys()]).toEqual(["1", "2"]);
});

it("clears old hints over a reconnect where the reader wants that", () => {
  const { result, world, paint } = setUp(true);
  act(() => world.socket.greet());
  act(() => world.socket.receive(hint(1)));
  act(() => world.socket.breakOff());
  act(() => world.advance(1_000));
  act(() => world.socket.greet({ recovered: true }));
  act(() => world.socket.receive(hint(2)));
  paint();
  expect([...result.current.state.hints.keys()]).toEqual(["2"]);
});

it("says that history is gone, until that is dismissed", () => {
  const { result, world, paint } = setUp();
  act(() => world.socket.greet({ recovered: false, position: "8-1" }));
  paint();
  const [notice] = result.current.state.notices;
  expect(notice?.kind).toBe("unrecovered");
  act(() => result.current.dismissNotice(notice?.key ?? ""));
  expect(result.current.state.notices).toEqual([]);
});

it("offers the token of the link, and a newer one as soon as it is pasted", () => {
  window.history.replaceState(null, "", "/session/facilitator?session=demo#token=one");
  const { world } = setUp();
  expect(window.location.hash).toBe("");
  expect(world.socket.protocols).toEqual(["hints.v1", "bearer.one"]);
  act(() => world.socket.breakOff(1008));
  window.history.replaceState(null, "", "#token=two");
  act(() => void window.dispatchEvent(new HashChangeEvent("hashchange")));
  act(() => world.advance(0));
  expect(world.socket.protocols).toEqual(["hints.v1", "bearer.two"]);
  window.history.replaceState(null, "", "/");
});
