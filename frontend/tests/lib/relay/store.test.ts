import { beforeEach, describe, expect, it, vi } from "vitest";
import { EMPTY_SESSION, reduceSession, type SessionState } from "@/lib/relay/state";
import { SessionStore, tabStorage, WRITE_EVERY_MS } from "@/lib/relay/store";
import { delivered } from "../../fakes/session";
import { FakeStorage } from "../../fakes/storage";
import { FakeWorld } from "../../fakes/world";

let world: FakeWorld;
let storage: FakeStorage;

beforeEach(() => {
  world = new FakeWorld();
  storage = new FakeStorage();
});

const newStore = (session = "demo", replay: string | null = null) =>
  new SessionStore(storage, session, replay, world);

function sessionAt(n: number): SessionState {
  const position = `7-${n}`;
  return reduceSession(EMPTY_SESSION, [
    delivered({ type: "hint", id: `${n}`, text: `${n}`, position }),
    { type: "place", place: { position, standing: "level" } },
  ]);
}

describe("store", () => {
  it("brings back what was shown together with how far it reaches", () => {
    const store = newStore();
    expect(store.load()).toBeNull();
    store.keep(sessionAt(3));
    store.flush();
    expect(newStore().load()).toEqual(sessionAt(3));
  });

  it("writes at most once a second, the latest", () => {
    const store = newStore();
    for (let n = 1; n <= 40; n += 1) {
      store.keep(sessionAt(n));
      world.advance(WRITE_EVERY_MS / 10);
    }
    expect(storage.writes).toBe(4);
    expect(newStore().load()?.place.position).toBe("7-40");
  });

  it.each(["hidden", "pagehide"] as const)("writes at once on %s", (event) => {
    const store = newStore();
    const detach = store.attach();
    store.keep(sessionAt(3));
    world.emit(event);
    world.emit(event);
    expect([storage.writes, world.timers]).toEqual([1, 0]);
    detach();
    expect([storage.writes, world.listeners]).toEqual([1, 0]);
  });

  it("writes when it is detached", () => {
    const store = newStore();
    const detach = store.attach();
    store.keep(sessionAt(3));
    detach();
    expect([storage.writes, world.timers]).toEqual([1, 0]);
  });

  it("doesn't write what it has just read, which would make it younger", () => {
    const store = newStore();
    store.keep(sessionAt(3));
    store.flush();
    const next = newStore();
    const state = next.load();
    if (state !== null) next.keep(state);
    next.flush();
    expect([storage.writes, world.timers]).toEqual([1, 0]);
  });

  it("keeps sessions apart, and pages that asked for another number of messages", () => {
    const store = newStore();
    store.keep(sessionAt(3));
    store.flush();
    expect(newStore("other").load()).toBeNull();
    expect(newStore("demo", "5").load()).toBeNull();
  });

  it("keeps nothing and fails nothing where storage is forbidden", () => {
    for (const store of [newStore(), new SessionStore(null, "demo", null, world)]) {
      storage.refusal = new DOMException("forbidden", "SecurityError");
      expect(store.load()).toBeNull();
      store.keep(sessionAt(3));
      store.flush();
    }
    storage.refusal = null;
    expect(newStore().load()).toBeNull();
  });

  it("keeps nothing rather than something older when storage is full", () => {
    const store = newStore();
    store.keep(sessionAt(3));
    store.flush();
    storage.capacity = 10;
    store.keep(sessionAt(4));
    store.flush();
    expect(newStore().load()).toBeNull();
  });
});

it("finds no storage where the browser forbids it", () => {
  expect(tabStorage()).toBe(window.sessionStorage);
  const getter = vi.spyOn(window, "sessionStorage", "get").mockImplementation(() => {
    throw new DOMException("forbidden", "SecurityError");
  });
  expect(tabStorage()).toBeNull();
  getter.mockRestore();
});
