import fc from "fast-check";
import { expect, it } from "vitest";
import { RelayClient } from "@/lib/relay/client";
import { EMPTY_SESSION, reduceSession, type SessionEvent } from "@/lib/relay/state";
import { SessionStore, WRITE_EVERY_MS } from "@/lib/relay/store";
import { FakeRelay, type Frame } from "../../fakes/relay";
import { FakeStorage } from "../../fakes/storage";
import { FakeWorld } from "../../fakes/world";

/** What the reader must see, worked out from what the relay sent instead of from positions. */
interface Expected {
  /** Texts of the hints, the oldest first. */
  shown: string[];
  lines: string[];
  away: string[];
  awayOver: boolean;
  level: boolean;
  /** Where in the relay's history begins what must not be missing; null before all has arrived. */
  from: number | null;
  begins: number;
  noticed: boolean;
}

const NOTHING: Expected = {
  shown: [],
  lines: [],
  away: [],
  awayOver: true,
  level: false,
  from: null,
  begins: 0,
  noticed: false,
};

/** A tab with the page in it: everything below the components, over reloads. */
class Tab {
  readonly relay = new FakeRelay();
  expected = structuredClone(NOTHING);
  state = EMPTY_SESSION;
  #world = new FakeWorld();
  #storage = new FakeStorage();
  /** What was expected of the page when it last wrote its copy. */
  #saved = structuredClone(NOTHING);
  #writes = 0;
  #store!: SessionStore;
  #client!: RelayClient;
  /** What has arrived since the last paint. */
  #queue: SessionEvent[] = [];
  #steps: ((expected: Expected) => void)[] = [];

  constructor() {
    this.#open();
  }

  #open(): void {
    this.#store = new SessionStore(this.#storage, "demo", null, this.#world);
    const restored = this.#store.load();
    this.state = restored ?? EMPTY_SESSION;
    this.expected = structuredClone(restored === null ? NOTHING : this.#saved);
    this.expected.level = false;
    this.#queue = [];
    this.#steps = [];
    this.#store.attach();
    this.#client = new RelayClient(
      {
        url: "ws://relay/ws?session=demo",
        ...(restored === null ? {} : { from: restored.place }),
        onDelivery: (delivery) => this.#queue.push({ type: "delivery", delivery }),
        onPlace: (place) => this.#queue.push({ type: "place", place }),
      },
      this.#world,
    );
    this.#client.open();
    this.#world.advance(0);
  }

  connect(): void {
    if (this.relay.socket !== null) return;
    this.#client.retryNow();
    this.relay.accept(this.#world.socket);
    const begins = this.relay.history.length - this.relay.log.length;
    // A page that stood level with a session without a log has no position that a relay could judge.
    const unjudged = this.#world.socket.query("since") === null;
    this.#steps.push((expected) => {
      expected.begins = begins;
      if (unjudged && expected.from !== null) expected.from = Math.max(expected.from, begins);
    });
  }

  receive(count: number): void {
    for (let n = 0; n < count; n += 1) {
      const frame = this.relay.send();
      if (frame === null) return;
      this.#steps.push((expected) => foresee(expected, frame));
    }
  }

  paint(): void {
    this.state = reduceSession(this.state, this.#queue.splice(0));
    for (const step of this.#steps.splice(0)) step(this.expected);
    this.#store.keep(this.state);
  }

  /** Connects, and gets everything that is there. */
  settle(): void {
    this.connect();
    this.receive(Number.POSITIVE_INFINITY);
    this.paint();
  }

  cut(): void {
    this.relay.cut();
    this.#steps.push((expected) => {
      expected.level = false;
    });
  }

  wait(): void {
    this.#world.advance(WRITE_EVERY_MS / 2);
    this.#noteWrite();
  }

  reload(crash: boolean): void {
    if (!crash) {
      this.#world.emit("pagehide");
      this.#noteWrite();
    }
    this.#client.close();
    this.relay.socket = null;
    this.relay.outbox.length = 0;
    this.#world = new FakeWorld(this.#world.nowMs() + 50);
    this.#open();
  }

  #noteWrite(): void {
    if (this.#storage.writes === this.#writes) return;
    this.#writes = this.#storage.writes;
    this.#saved = structuredClone(this.expected);
  }
}

function foresee(expected: Expected, { message, backlog, completes }: Frame): void {
  if (message.type === "connection" && message.recovered === false) expected.noticed = true;
  const text = message.text as string;
  if (text !== undefined && !expected.shown.includes(text) && !expected.lines.includes(text)) {
    const isHint = message.type === "hint";
    (isHint ? expected.shown : expected.lines).push(text);
    if (backlog && expected.from !== null && !expected.level) {
      if (expected.awayOver) expected.away = [];
      expected.awayOver = false;
      if (isHint) expected.away.push(text);
    }
  }
  if (!completes) return;
  expected.level = true;
  expected.awayOver = true;
  expected.from ??= expected.begins;
}

/** What can happen; `n` makes each text and id the only one of its kind. */
const HAPPENINGS: Readonly<Record<string, (tab: Tab, n: number) => void>> = {
  hint: ({ relay }, n) => relay.publish({ type: "hint", id: `id${n}`, text: `${n}` }),
  "hint without id": ({ relay }, n) => relay.publish({ type: "hint", text: `${n}` }),
  line: ({ relay }, n) => relay.publish({ type: "transcript", id: `id${n}`, text: `${n}` }),
  unknown: ({ relay }) => relay.publish({ type: "poll" }),
  plain: ({ relay }, n) => relay.publishPlain({ type: "hint", text: `${n}` }),
  "trim 1": ({ relay }) => relay.trim(1),
  "trim 3": ({ relay }) => relay.trim(3),
  lose: ({ relay }) => relay.lose(),
  connect: (tab) => tab.connect(),
  "receive 1": (tab) => tab.receive(1),
  "receive 3": (tab) => tab.receive(3),
  paint: (tab) => tab.paint(),
  wait: (tab) => tab.wait(),
  // By themselves, the steps of this would seldom come together.
  settle: (tab) => tab.settle(),
  cut: (tab) => tab.cut(),
  reload: (tab) => tab.reload(false),
  crash: (tab) => tab.reload(true),
};

const happening = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom("hint", "hint without id", "line", "unknown", "plain") },
  { weight: 5, arbitrary: fc.constantFrom("receive 1", "receive 3") },
  { weight: 4, arbitrary: fc.constantFrom("paint", "wait") },
  { weight: 4, arbitrary: fc.constantFrom("connect", "connect", "cut") },
  { weight: 3, arbitrary: fc.constant("settle") },
  { weight: 2, arbitrary: fc.constantFrom("reload", "crash") },
  { weight: 1, arbitrary: fc.constantFrom("trim 1", "trim 3", "lose") },
);

const textsOf = (messages: readonly Record<string, unknown>[]) =>
  messages.filter(({ type }) => type === "hint").map(({ text }) => text as string);

function check({ state, expected }: Tab): string[] {
  const hints = [...state.hints.values()];
  const texts = hints.map((hint) => hint.text);
  expect(texts).toEqual(expected.shown);
  expect(new Set(texts).size).toBe(texts.length);
  expect(hints.filter(({ id }) => state.away.hints.has(id)).map(({ text }) => text)).toEqual(
    expected.away,
  );
  expect(state.away.hints.size).toBe(expected.away.length);
  expect(state.notices.some(({ kind }) => kind === "unrecovered")).toBe(expected.noticed);
  return texts;
}

it("shows each hint once and in order over reconnects, reloads and losses, or says what is gone", () => {
  fc.assert(
    fc.property(fc.array(happening, { minLength: 5, maxLength: 80 }), (happenings) => {
      const tab = new Tab();
      happenings.forEach((what, n) => {
        HAPPENINGS[what]?.(tab, n);
        if (what === "paint" || what === "settle") check(tab);
      });
      // In the end the page is connected, and everything has arrived.
      tab.settle();
      const shown = check(tab);
      const kept = textsOf(tab.relay.log);
      expect(shown.filter((text) => kept.includes(text))).toEqual(kept);
      if (tab.expected.noticed) return;
      const published = textsOf(tab.relay.history.slice(tab.expected.from ?? 0));
      expect(shown.filter((text) => published.includes(text))).toEqual(published);
    }),
    { numRuns: 3_000 },
  );
  // Some seconds of work, and more on a machine that is busy.
}, 60_000);
