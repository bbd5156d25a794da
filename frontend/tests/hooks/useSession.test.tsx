import { act, renderHook } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import { useSession } from "@/hooks/useSession";
import { FakeWorld } from "../fakes/world";

function setUp(clearOnReconnect = false, world = new FakeWorld()) {
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

describe("after a reload", () => {
  /** A tab that has shown two hints and goes away; returns what comes back. */
  function reload(clearOnReconnect = false) {
    const before = setUp(clearOnReconnect);
    act(() => before.world.socket.greet({ position: "7-1", snapshot: 1 }));
    act(() => before.world.socket.receive(hint(1)));
    act(() => before.world.socket.receive(hint(2)));
    before.paint();
    // Arrived, and never painted: it must come again.
    act(() => before.world.socket.receive(hint(3)));
    act(() => before.world.emit("pagehide"));
    return setUp(clearOnReconnect, new FakeWorld(before.world.nowMs() + 60_000));
  }
  const shown = ({ result }: ReturnType<typeof setUp>) => [...result.current.state.hints.keys()];

  it("shows at once what it had shown, and asks for what came since", () => {
    const page = reload();
    expect(shown(page)).toEqual(["1", "2"]);
    expect(page.world.socket.query("since")).toBe("7-2");
    act(() => page.world.socket.greet({ position: "7-4", recovered: true }));
    for (const n of [3, 4, 5]) act(() => page.world.socket.receive(hint(n)));
    page.paint();
    expect(shown(page)).toEqual(["1", "2", "3", "4", "5"]);
    expect([...page.result.current.state.away.hints]).toEqual(["3", "4"]);
    act(() => page.result.current.dismissAway());
    expect(page.result.current.state.away.hints.size).toBe(0);
  });

  it("says that history is gone, and shows what is there once beside what it had shown", () => {
    const page = reload();
    act(() => page.world.socket.greet({ position: "8-2", recovered: false, snapshot: 2 }));
    act(() => page.world.socket.receive({ ...hint(2), position: "8-1" }));
    act(() => page.world.socket.receive({ ...hint(9), position: "8-2" }));
    page.paint();
    expect(page.result.current.state.notices[0]?.kind).toBe("unrecovered");
    expect(shown(page)).toEqual(["1", "2", "9"]);
    expect([...page.result.current.state.away.hints]).toEqual(["9"]);
  });

  it("clears old hints where the reader wants that", () => {
    const page = reload(true);
    act(() => page.world.socket.greet({ position: "7-3", recovered: true }));
    act(() => page.world.socket.receive(hint(3)));
    page.paint();
    expect(shown(page)).toEqual(["3"]);
  });

  it("starts with what the relay has where nothing can be kept", () => {
    vi.spyOn(window, "sessionStorage", "get").mockImplementation(() => {
      throw new DOMException("forbidden", "SecurityError");
    });
    const page = reload();
    vi.restoreAllMocks();
    expect(shown(page)).toEqual([]);
    expect(page.world.socket.query("since")).toBeNull();
  });
});
