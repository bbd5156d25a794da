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
  const { origin, pathname } = new URL(world.socket.url);
  expect([origin, pathname]).toEqual(["ws://localhost:3000", "/ws"]);
  expect(world.socket.query("session")).toBe("demo");
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
  act(() => result.current.actions.dismissNotice(notice?.key ?? ""));
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
    act(() => page.result.current.actions.dismissAway());
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

describe("what the reader does", () => {
  const you = "guest-me";
  function connected() {
    const page = setUp();
    act(() => page.world.socket.greet({ position: "7-1", snapshot: 1, you }));
    act(() => page.world.socket.receive(hint(1)));
    page.paint();
    const { world, result, paint } = page;
    const receive = (message: object) => {
      act(() => world.socket.receive(message));
      paint();
    };
    const sent = () => world.socket.sent.filter((m) => (m as { type: string }).type !== "ping");
    const marks = () => result.current.hints.get("1")?.marks;
    return { ...page, receive, sent, marks };
  }

  it("is shown at once, sent once, and taken for certain when it has come back", () => {
    const { result, receive, sent, marks } = connected();
    act(() => result.current.actions.toggle("1", "used"));
    expect(marks()?.outcome).toEqual({ action: "used", by: you, pending: true });
    const [message] = sent() as [{ id: string }];
    expect(sent()).toEqual([{ type: "feedback", hint: "1", action: "used", id: message.id }]);
    receive({ type: "ack", ref: message.id, position: "7-2" });
    expect(marks()?.outcome?.pending).toBe(false);
    receive({ ...message, position: "7-2", by: you, timestamp: 1 });
    expect(marks()?.outcome).toEqual({ action: "used", by: you, pending: false });
    act(() => result.current.actions.toggle("1", "used"));
    expect(marks()?.outcome).toBeNull();
    expect(sent().at(-1)).toMatchObject({ action: "restored" });
  });

  it("is undone with a notice when the relay refuses it", () => {
    const { result, receive, sent, marks } = connected();
    act(() => result.current.actions.toggle("1", "pinned"));
    const [{ id }] = sent() as [{ id: string }];
    receive({ type: "error", ref: id, code: "unknown_hint", text: "There is no such hint." });
    expect(marks()?.pin).toBeNull();
    expect(result.current.state.notices).toMatchObject([
      { kind: "undone", text: "The hint was not pinned. There is no such hint." },
    ]);
  });

  it("waits without a notice while the relay is busy", () => {
    const { result, world, receive, sent, marks } = connected();
    act(() => result.current.actions.toggle("1", "helpful"));
    const [{ id }] = sent() as [{ id: string }];
    receive({ type: "error", ref: id, code: "rate_limited", text: "x", retry_after_ms: 500 });
    expect([marks()?.rating?.action, result.current.state.notices.length]).toEqual(["helpful", 0]);
    act(() => world.advance(500));
    expect(sent()).toHaveLength(2);
  });

  it("outlives a reload without a connection, and is sent then under its id", () => {
    const { result, world } = connected();
    act(() => world.socket.breakOff());
    act(() => result.current.actions.toggle("1", "dismissed"));
    act(() => void result.current.actions.steer("Shorter."));
    expect(result.current.steers).toMatchObject([{ text: "Shorter.", state: "pending" }]);
    act(() => world.emit("pagehide"));
    const next = setUp(false, new FakeWorld(world.nowMs() + 1_000));
    expect(next.result.current.hints.get("1")?.marks.outcome).toMatchObject({ pending: true });
    expect(next.world.socket.query("guest")).toBe(world.socket.query("guest"));
    act(() => next.world.socket.greet({ position: "7-1", recovered: true, you }));
    expect(next.world.socket.sent).toMatchObject([
      { action: "dismissed" },
      { name: "steer", text: "Shorter." },
    ]);
  });

  it("stops a hint once, and only one that grows", () => {
    const { result, receive, sent } = connected();
    receive({ position: "7-2", type: "hint", id: "2", text: "", status: "streaming" });
    act(() => result.current.actions.stop("1"));
    act(() => result.current.actions.stop("2"));
    act(() => result.current.actions.stop("2"));
    expect(sent()).toMatchObject([{ type: "command", name: "cancel", hint: "2" }]);
  });

  it("tells the relay which hints were seen, again after a connection that broke", () => {
    const { result, world, sent } = connected();
    act(() => result.current.actions.sight("1", true));
    act(() => world.advance(2_000));
    expect(sent()).toEqual([{ type: "seen", hints: ["1"] }]);
    act(() => world.socket.breakOff());
    act(() => world.advance(1_000));
    act(() => world.socket.greet({ position: "7-1", recovered: true, you }));
    act(() => world.advance(1_000));
    expect(world.socket.sent).toEqual([{ type: "seen", hints: ["1"] }]);
  });
});

describe("a piece whose beginning is missing", () => {
  it("has the page connect for all of it, once for each hint", () => {
    const { world, paint, result } = setUp();
    const piece = (n: number) => ({
      position: `7-${n}`,
      type: "append",
      id: "a",
      at: 5,
      text: "her",
    });
    act(() => world.socket.greet({ position: "7-1" }));
    act(() => world.socket.receive(piece(2)));
    paint();
    act(() => world.advance(1_000));
    expect(world.sockets).toHaveLength(2);
    expect(world.socket.query("since")).toBeNull();
    // What comes is no beginning either: the hint still lacks what the next piece continues.
    act(() => world.socket.greet({ position: "7-2", snapshot: 1 }));
    act(() => world.socket.receive({ ...hint(2), id: "a", text: "Let", status: "streaming" }));
    act(() => world.socket.receive(piece(3)));
    paint();
    act(() => world.advance(1_000));
    expect(world.sockets).toHaveLength(2);
    expect(result.current.hints.get("a")?.text).toBe("Let");
  });
});

it("renders thousands of pieces once a frame", () => {
  const { result, world, paint, renders } = setUp();
  act(() => world.socket.greet());
  act(() => world.socket.receive({ ...hint(1), text: "", status: "streaming" }));
  paint();
  const before = renders();
  act(() => {
    for (let n = 0; n < 5_000; n += 1) {
      world.socket.receive({ type: "append", id: "1", position: `7-${n + 2}`, at: n, text: "x" });
    }
  });
  paint();
  expect(result.current.hints.get("1")?.text).toBe("x".repeat(5_000));
  expect(renders()).toBe(before + 1);
});

describe("somebody who may only look on", () => {
  function observer() {
    const page = setUp();
    act(() => page.world.socket.greet({ role: "observer", position: "7-1", snapshot: 1 }));
    act(() => page.world.socket.receive({ ...hint(1), status: "streaming" }));
    page.paint();
    return page;
  }

  it("sends nothing, whatever is pressed", () => {
    const { result, world } = observer();
    expect(result.current.readOnly).toBe(true);
    act(() => result.current.actions.toggle("1", "used"));
    act(() => result.current.actions.stop("1"));
    act(() => expect(result.current.actions.steer("Shorter.")).toBe(false));
    act(() => result.current.actions.sight("1", true));
    act(() => world.advance(5_000));
    expect(world.socket.sent).toEqual([]);
  });

  it("tells what was seen once the role has changed", () => {
    const { result, world } = observer();
    act(() => result.current.actions.sight("1", true));
    act(() => world.advance(2_000));
    window.history.replaceState(null, "", "#token=better");
    act(() => void window.dispatchEvent(new HashChangeEvent("hashchange")));
    act(() => world.advance(0));
    act(() => world.socket.greet({ role: "facilitator", position: "7-1", recovered: true }));
    act(() => world.advance(1_000));
    expect(result.current.readOnly).toBe(false);
    expect(world.socket.sent).toEqual([{ type: "seen", hints: ["1"] }]);
    window.history.replaceState(null, "", "/");
  });
});

describe("over the fallback", () => {
  /** A page that has come to an event stream, with one hint. */
  function fallenBack(clearOnReconnect = false) {
    const page = setUp(clearOnReconnect);
    const { world } = page;
    for (let n = 0; n < 2; n += 1) {
      act(() => world.socket.breakOff());
      act(() => world.advance(2_000));
    }
    act(() => world.stream.greet({ position: "7-1", snapshot: 1, heartbeat_s: 1e6 }));
    act(() => world.stream.receive(hint(1)));
    page.paint();
    return page;
  }

  it("sends what has no answer again under its id when a socket takes over, and clears nothing", () => {
    const { result, world, paint } = fallenBack(true);
    act(() => result.current.actions.toggle("1", "used"));
    const [message] = world.stream.sent;
    expect(message).toMatchObject({ type: "feedback", action: "used" });
    act(() => world.advance(4_000));
    act(() => world.socket.greet({ position: "7-1", recovered: true }));
    paint();
    expect(world.stream.isClosed).toBe(true);
    expect(world.socket.sent).toContainEqual(message);
    expect([...result.current.state.hints.keys()]).toEqual(["1"]);
  });

  it("reports what was seen again, later, when the relay could not take it", () => {
    const { result, world } = fallenBack();
    act(() => result.current.actions.sight("1", true));
    act(() => world.advance(1_000));
    const seen = { type: "seen", hints: ["1"] };
    expect(world.stream.sent).toEqual([seen]);
    act(() => world.stream.receive({ type: "error", code: "unavailable", text: "x", ref: null }));
    act(() => world.advance(4_000));
    expect(world.stream.sent).toEqual([seen]);
    act(() => world.advance(2_000));
    expect(world.stream.sent).toEqual([seen, seen]);
    expect(result.current.state.notices).toEqual([]);
  });
});

it("says what is wrong with the connection where that is said, and not as the agent's error", () => {
  const { result, world, paint } = setUp();
  act(() => world.socket.open());
  act(() => world.socket.receive({ type: "error", code: "unauthorized", text: "No." }));
  act(() => world.socket.breakOff(1008));
  paint();
  expect(result.current.state.notices).toEqual([]);
  expect(result.current.connection.problem).toMatchObject({ detail: "No." });
});
