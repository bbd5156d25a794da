import { describe, expect, it } from "vitest";
import { Cursor } from "@/lib/relay/cursor";
import { type MessageOf, parseMessage } from "@/lib/relay/messages";

function connection(fields: object): MessageOf<"connection"> {
  return { type: "connection", status: "connected", heartbeat_s: 10, ...fields } as never;
}

function frame(fields: object) {
  return parseMessage(JSON.stringify({ type: "hint", text: "x", ...fields }));
}

const at = (position: string) => frame({ position });

describe("cursor", () => {
  it("starts where it is told to", () => {
    expect(new Cursor("7-3").position).toBe("7-3");
    expect(new Cursor("nonsense").position).toBeNull();
  });

  it("takes the head only when the whole snapshot has arrived", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: "7-9", recovered: null, snapshot: 2 }));
    expect(cursor.take(at("7-4"))).toEqual({ apply: true, snapshot: true });
    expect(cursor.position).toBeNull();
    expect(cursor.take(at("7-9"))).toEqual({ apply: true, snapshot: true });
    expect(cursor.position).toBe("7-9");
  });

  it("takes the head at once when the snapshot is empty", () => {
    const cursor = new Cursor();
    cursor.begin(connection({ position: "7-9", recovered: false, snapshot: 0 }));
    expect(cursor.position).toBe("7-9");
  });

  it("keeps its position through a snapshot that breaks off", () => {
    const cursor = new Cursor("6-1");
    cursor.begin(connection({ position: "7-9", recovered: false, snapshot: 2 }));
    cursor.take(at("7-4"));
    cursor.abandon();
    expect(cursor.position).toBe("6-1");
    expect(cursor.inSnapshot).toBe(false);
  });

  it("keeps its own position when everything is recovered", () => {
    const cursor = new Cursor("7-3");
    cursor.begin(connection({ position: "7-9", recovered: true, snapshot: 0 }));
    expect(cursor.position).toBe("7-3");
    cursor.take(at("7-5"));
    expect(cursor.position).toBe("7-5");
  });

  it("drops what it has had", () => {
    const cursor = new Cursor("7-3");
    expect(cursor.take(at("7-3")).apply).toBe(false);
    expect(cursor.take(at("7-2")).apply).toBe(false);
    expect(cursor.take(at("7-4")).apply).toBe(true);
  });

  it("takes another log's messages whatever their number", () => {
    const cursor = new Cursor("7-3");
    expect(cursor.take(at("8-1")).apply).toBe(true);
    expect(cursor.position).toBe("8-1");
  });

  it("lets messages without a position through and stays where it is", () => {
    const cursor = new Cursor("7-3");
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
    expect(cursor.take(at("7-10"))).toEqual({ apply: true, snapshot: false });
    expect(cursor.position).toBe("7-10");
  });

  it("is not moved by an ack, whose message is still to come", () => {
    const cursor = new Cursor("7-3");
    cursor.take(parseMessage('{"type":"ack","ref":"a","position":"7-4"}'));
    expect(cursor.take(at("7-4")).apply).toBe(true);
  });

  it("notices a heartbeat that is ahead", () => {
    const cursor = new Cursor("7-3");
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
    const cursor = new Cursor("7-3");
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
