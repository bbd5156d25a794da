import { describe, expect, it } from "vitest";
import { Cursor } from "@/lib/relay/cursor";
import { type MessageOf, parseMessage } from "@/lib/relay/messages";
import type { Place } from "@/lib/relay/place";

function connection(fields: object): MessageOf<"connection"> {
  return { type: "connection", status: "connected", heartbeat_s: 10, ...fields } as never;
}

function frame(fields: object) {
  return parseMessage(JSON.stringify({ type: "hint", text: "x", ...fields }));
}

const at = (position: string) => frame({ position });
const leftAt = (position: string): Place => ({ position, standing: "level" });

describe("cursor", () => {
  it("starts where it is told to", () => {
    expect(new Cursor(leftAt("7-3")).position).toBe("7-3");
    expect(new Cursor(leftAt("nonsense")).position).toBeNull();
  });

  it("takes the head only when the whole snapshot has arrived", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: "7-9", recovered: null, snapshot: 2 }));
    expect(cursor.take(at("7-4"))).toEqual({ apply: true, snapshot: true, missed: false });
    expect(cursor.position).toBeNull();
    expect(cursor.take(at("7-9"))).toEqual({ apply: true, snapshot: true, missed: false });
    expect(cursor.position).toBe("7-9");
  });

  it("takes the head at once when the snapshot is empty", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: "7-9", recovered: false, snapshot: 0 }));
    expect(cursor.position).toBe("7-9");
  });

  it("keeps its position through a snapshot that breaks off", () => {
    const cursor = new Cursor(leftAt("6-1"));
    cursor.begin(connection({ position: "7-9", recovered: false, snapshot: 2 }));
    cursor.take(at("7-4"));
    cursor.abandon();
    expect(cursor.position).toBe("6-1");
    expect(cursor.inSnapshot).toBe(false);
  });

  it("keeps its own position when everything is recovered", () => {
    const cursor = new Cursor(leftAt("7-3"));
    cursor.begin(connection({ position: "7-9", recovered: true, snapshot: 0 }));
    expect(cursor.position).toBe("7-3");
    cursor.take(at("7-5"));
    expect(cursor.position).toBe("7-5");
  });

  it("drops what it has had", () => {
    const cursor = new Cursor(leftAt("7-3"));
    expect(cursor.take(at("7-3")).apply).toBe(false);
    expect(cursor.take(at("7-2")).apply).toBe(false);
    expect(cursor.take(at("7-4")).apply).toBe(true);
  });

  it("takes another log's messages whatever their number", () => {
    const cursor = new Cursor(leftAt("7-3"));
    expect(cursor.take(at("8-1")).apply).toBe(true);
    expect(cursor.position).toBe("8-1");
  });

  it("lets messages without a position through and stays where it is", () => {
    const cursor = new Cursor(leftAt("7-3"));
    expect(cursor.take(frame({})).apply).toBe(true);
    expect(cursor.position).toBe("7-3");
  });

  it("counts what it can't read as part of the snapshot", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: "7-9", snapshot: 2 }));
    cursor.take(parseMessage('{"position":"7-1","type":"hint","text":5}'));
    cursor.take(parseMessage('{"position":"7-2","type":"poll"}'));
    expect(cursor.position).toBe("7-9");
  });

  it("doesn't count what comes between the parts of a snapshot", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: "7-9", snapshot: 1 }));
    cursor.take(parseMessage('{"type":"presence","facilitators":1}'));
    cursor.take(parseMessage('{"type":"error","text":"x"}'));
    expect(cursor.inSnapshot).toBe(true);
  });

  it("ends a snapshot that live messages have overtaken", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: "7-9", snapshot: 5 }));
    expect(cursor.take(at("7-10"))).toEqual({ apply: true, snapshot: false, missed: false });
    expect(cursor.position).toBe("7-10");
  });

  it("is not moved by an ack, whose message is still to come", () => {
    const cursor = new Cursor(leftAt("7-3"));
    cursor.take(parseMessage('{"type":"ack","ref":"a","position":"7-4"}'));
    expect(cursor.take(at("7-4")).apply).toBe(true);
  });

  it("notices a heartbeat that is ahead", () => {
    const cursor = new Cursor(leftAt("7-3"));
    expect(cursor.heartbeat("7-3")).toBe(false);
    expect(cursor.heartbeat("7-2")).toBe(false);
    expect(cursor.heartbeat(null)).toBe(false);
    expect(cursor.heartbeat("7-4")).toBe(true);
    expect(cursor.heartbeat("8-1")).toBe(true);
  });

  it("is behind any head while it has no position", () => {
    expect(new Cursor().heartbeat("7-1")).toBe(true);
  });

  it("doesn't ask twice for a gap that turned out to be empty", () => {
    const cursor = new Cursor(leftAt("7-3"));
    expect(cursor.heartbeat("7-5")).toBe(true);
    cursor.abandon();
    cursor.begin(connection({ position: "7-5", recovered: true, snapshot: 0 }));
    expect(cursor.heartbeat("7-5")).toBe(false);
    expect(cursor.take(at("7-4")).apply).toBe(true);
    expect(cursor.heartbeat("7-6")).toBe(true);
  });

  it("leaves heartbeats alone while a snapshot runs", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: "7-9", snapshot: 1 }));
    expect(cursor.heartbeat("7-12")).toBe(false);
  });
});

describe("cursor after an absence", () => {
  const missed = (cursor: Cursor, ...positions: string[]) =>
    positions.map((position) => cursor.take(at(position)).missed);

  it("calls missed what comes up to the head that the relay announced, and nothing after it", () => {
    const cursor = new Cursor(leftAt("7-3"));
    cursor.begin(connection({ position: "7-5", recovered: true, snapshot: 0 }));
    expect(cursor.place).toEqual({ position: "7-3", standing: "behind" });
    expect(missed(cursor, "7-3", "7-4", "7-5", "7-6")).toEqual([false, true, true, false]);
    expect(cursor.place).toEqual({ position: "7-6", standing: "level" });
  });

  it("calls a new snapshot missed where history is gone", () => {
    const cursor = new Cursor(leftAt("7-3"));
    cursor.begin(connection({ position: "8-2", recovered: false, snapshot: 2 }));
    expect(missed(cursor, "8-1", "8-2", "8-3")).toEqual([true, true, false]);
  });

  it("calls the first message of a session missed that began meanwhile", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: null, recovered: null, snapshot: 0 }));
    expect(cursor.place).toEqual({ position: null, standing: "level" });
    cursor.abandon();
    cursor.begin(connection({ position: "7-1", recovered: null, snapshot: 1 }));
    expect(missed(cursor, "7-1")).toEqual([true]);
  });

  it("calls nothing missed that was there before the page came, however often that breaks off", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: "7-2", recovered: null, snapshot: 2 }));
    expect(missed(cursor, "7-1")).toEqual([false]);
    cursor.abandon();
    expect(cursor.place.standing).toBe("joining");
    cursor.begin(connection({ position: "7-2", recovered: null, snapshot: 2 }));
    expect(missed(cursor, "7-1", "7-2")).toEqual([false, false]);
    expect(cursor.place.standing).toBe("level");
  });

  it("calls nothing missed when the log is lost while the reader is there", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: "7-2", recovered: null, snapshot: 0 }));
    cursor.begin(connection({ position: "8-1", recovered: false, snapshot: 1 }));
    expect(missed(cursor, "8-1")).toEqual([false]);
  });

  it("stays behind until a catch-up that broke off is whole", () => {
    const cursor = new Cursor(leftAt("7-3"));
    cursor.begin(connection({ position: "7-5", recovered: true, snapshot: 0 }));
    cursor.take(at("7-4"));
    cursor.abandon();
    cursor.begin(connection({ position: "7-5", recovered: true, snapshot: 0 }));
    expect(cursor.place.standing).toBe("behind");
    cursor.take(parseMessage('{"position":"7-5","type":"poll"}'));
    expect(cursor.place.standing).toBe("level");
  });

  it("learns nothing of its standing from a relay that turns it away", () => {
    const cursor = new Cursor();
    cursor.take(parseMessage('{"type":"error","text":"Too many facilitators."}'));
    expect(cursor.place).toEqual({ position: null, standing: "joining" });
  });
});
