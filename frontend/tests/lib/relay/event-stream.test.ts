import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EventStream } from "@/lib/relay/event-stream";
import { POST_WITHIN_MS } from "@/lib/relay/post-queue";
import { FakeWorld } from "../../fakes/world";

type Answer = (response: ServerResponse, request: IncomingMessage, body: string) => void;

/** What a stream has told its user, in order. */
type Happening =
  | readonly ["open"]
  | readonly ["frame", unknown]
  | readonly ["close", number, string];

let server: Server;
let origin: string;
let requests: { method: string; url: string; headers: IncomingMessage["headers"]; body: string }[];
let onStream: Answer;
let onPost: Answer;
let world: FakeWorld;
let streams: EventStream[];

beforeEach(async () => {
  requests = [];
  streams = [];
  world = new FakeWorld();
  onStream = (response) => beginStream(response);
  onPost = (response) => json(response, 200, { messages: [{ id: "a", position: "7-1" }] });
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => {
      body += part;
    });
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      requests.push({ method, url, headers, body });
      if (method === "POST") onPost(response, request, body);
      else onStream(response, request, body);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  for (const stream of streams) stream.close();
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
});

function open(token: string | null = null) {
  const stream = new EventStream(
    {
      url: `${origin}/events?session=demo&since=7-0`,
      messagesUrl: `${origin}/sessions/demo/messages`,
      token,
    },
    world,
  );
  streams.push(stream);
  const happenings: Happening[] = [];
  stream.onopen = () => happenings.push(["open"]);
  stream.onmessage = ({ data }) => happenings.push(["frame", JSON.parse(data)]);
  stream.onclose = ({ code, reason }) => happenings.push(["close", code, reason]);
  const happened = (count: number) =>
    vi.waitFor(() => {
      expect(happenings.length).toBeGreaterThanOrEqual(count);
      return happenings;
    });
  return { stream, happenings, happened };
}

function beginStream(response: ServerResponse, text = ""): ServerResponse {
  response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
  response.write(`retry: 2000\n\n${text}`);
  return response;
}

function json(response: ServerResponse, status: number, body: unknown, headers: object = {}): void {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

describe("an event stream", () => {
  it("is to its user a socket that brings messages, to the relay a request with a token", async () => {
    onStream = (response) => {
      beginStream(response, ': hello\n\ndata: {"type":"connection"}\nid: 7-1\n\n');
      response.write('event: message\ndata: {"type":"hint",\ndata: "text":"ä"}\n\n');
    };
    const { stream, happened } = open("abc");
    expect(await happened(3)).toEqual([
      ["open"],
      ["frame", { type: "connection" }],
      ["frame", { type: "hint", text: "ä" }],
    ]);
    expect(stream.readyState).toBe(WebSocket.OPEN);
    expect(requests).toMatchObject([
      {
        method: "GET",
        url: "/events?session=demo&since=7-0",
        headers: { accept: "text/event-stream", authorization: "Bearer abc" },
      },
    ]);
  });

  it("puts together what comes in pieces, cut anywhere, within a character too", async () => {
    const bytes = Buffer.from('data: {"text":"häß €"}\r\n\r\ndata: {"text":"𝄞"}\n\n');
    onStream = async (response) => {
      beginStream(response);
      for (const byte of bytes) {
        response.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
    };
    const { happened } = open();
    expect((await happened(3)).slice(1)).toEqual([
      ["frame", { text: "häß €" }],
      ["frame", { text: "𝄞" }],
    ]);
  });

  it("passes over events of kinds that it doesn't know", async () => {
    onStream = (response) => {
      beginStream(response, 'event: survey\ndata: {"no":1}\n\ndata: {"yes":1}\n\n');
    };
    const { happened } = open();
    expect(await happened(2)).toEqual([["open"], ["frame", { yes: 1 }]]);
  });

  it("closes with the code that the relay gives", async () => {
    onStream = (response) => {
      beginStream(response, 'event: close\ndata: {"code":4004,"reason":"Token expired"}\n\n').end(
        'data: {"too":"late"}\n\n',
      );
    };
    const { stream, happened } = open();
    expect(await happened(2)).toEqual([["open"], ["close", 4004, "Token expired"]]);
    expect(stream.readyState).toBe(WebSocket.CLOSED);
  });

  it.each<[string, Answer]>([
    ["ends without a word", (response) => void beginStream(response).end()],
    [
      "breaks off",
      (response) => void beginStream(response).write(": hello\n\n", () => response.destroy()),
    ],
    [
      "says goodbye in a way that nobody can read",
      (response) => void beginStream(response, "event: close\ndata: bye\n\n"),
    ],
    [
      "brings an event without an end",
      (response) => void beginStream(response, `data: ${"x".repeat(4_100_000)}`),
    ],
  ])("is lost without a word when it %s", async (_how, answer) => {
    onStream = answer;
    const { happened } = open();
    expect((await happened(2)).at(-1)).toEqual(["close", 1006, ""]);
  });

  it.each<[string, Answer]>([
    ["nobody answers", (_response, request) => void request.socket.destroy()],
    ["a proxy fails", (response) => json(response, 502, "bad gateway")],
    [
      "a portal answers in its place",
      (response) => {
        response.writeHead(200, { "Content-Type": "text/html" }).end("<h1>Welcome</h1>");
      },
    ],
    ["the relay is too old to have one", (response) => json(response, 404, null)],
  ])("never opens when %s", async (_what, answer) => {
    onStream = answer;
    const { happened } = open();
    const happenings = await vi.waitFor(async () => {
      const all = await happened(1);
      expect(all.at(-1)).toEqual(["close", 1006, ""]);
      return all;
    });
    expect(happenings.map(([what]) => what)).not.toContain("open");
  });

  it.each([
    [401, "unauthorized", 1008],
    [403, "forbidden", 1008],
    [400, "bad_position", 4101],
  ])(
    "says %d as a socket would: the relay's words, then the code",
    async (status, code, closed) => {
      onStream = (response) => json(response, status, { detail: "No.", code, status });
      const { happened } = open();
      const [frame, close] = await happened(2);
      expect(frame).toMatchObject(["frame", { type: "error", text: "No." }]);
      expect(close).toEqual(["close", closed, ""]);
    },
  );

  it.each([429, 503])("says how long to stay away after %d", async (status) => {
    onStream = (response) => json(response, status, { detail: "Busy." }, { "Retry-After": "7" });
    const { happened } = open();
    const [frame, close] = await happened(2);
    expect(frame).toMatchObject(["frame", { type: "error", text: "Busy.", retry_after_ms: 7_000 }]);
    expect(close).toEqual(["close", 1006, ""]);
  });

  it("ends the request, and says nothing more, when its user closes it", async () => {
    const ended = new Promise<void>((resolve) => {
      onStream = (response) => {
        beginStream(response, 'data: {"n":1}\n\n').on("close", resolve);
      };
    });
    const { stream, happenings, happened } = open();
    await happened(2);
    stream.close();
    await ended;
    expect(happenings).toHaveLength(2);
  });
});

describe("what is sent over it", () => {
  const feedback = (id: string) =>
    JSON.stringify({ type: "feedback", id, hint: "h", action: "used" });

  async function opened(token: string | null = null) {
    const stream = open(token);
    await stream.happened(1);
    return stream;
  }

  it("is posted with the token, and answered as on a socket", async () => {
    const { stream, happened } = await opened("abc");
    stream.send(feedback("a"));
    expect((await happened(2))[1]).toEqual(["frame", { type: "ack", ref: "a", position: "7-1" }]);
    expect(requests[1]).toMatchObject({
      method: "POST",
      url: "/sessions/demo/messages",
      headers: { authorization: "Bearer abc", "content-type": "application/json" },
      body: feedback("a"),
    });
    expect(world.timers).toBe(0);
  });

  it("goes one after the other, and never what has no place there", async () => {
    const held: (() => void)[] = [];
    onPost = (response, _request, body) => {
      const { id } = JSON.parse(body);
      held.push(() => json(response, 200, { messages: [{ id, position: "7-1" }] }));
    };
    const { stream, happened } = await opened();
    stream.send(JSON.stringify({ type: "ping" }));
    stream.send(JSON.stringify({ type: "refresh", token: "x" }));
    stream.send(feedback("a"));
    stream.send(feedback("b"));
    await vi.waitFor(() => expect(held).toHaveLength(1));
    held[0]?.();
    await happened(2);
    await vi.waitFor(() => expect(held).toHaveLength(2));
    held[1]?.();
    const frames = (await happened(3)).slice(1);
    expect(frames).toMatchObject([
      ["frame", { ref: "a" }],
      ["frame", { ref: "b" }],
    ]);
  });

  it.each<[string, Answer, object]>([
    [
      "a hint that nobody knows",
      (response) => json(response, 404, { code: "unknown_hint", detail: "No such hint." }),
      { code: "unknown_hint", text: "No such hint." },
    ],
    [
      "somebody who may not",
      (response) => json(response, 403, { code: "forbidden", detail: "Only looking." }),
      { code: "forbidden", text: "Only looking." },
    ],
    [
      "too many",
      (response) => json(response, 429, { code: "limit_reached" }, { "Retry-After": "3" }),
      { code: "rate_limited", retry_after_ms: 3_000 },
    ],
    [
      "a broker that is away",
      (response) => json(response, 503, { code: "unavailable", retry_after_ms: 500 }),
      { code: "unavailable", retry_after_ms: 500 },
    ],
    [
      "a token that has just ended: the next stream has another",
      (response) => json(response, 401, { code: "unauthorized", detail: "Expired." }),
      { code: "unavailable" },
    ],
    [
      "a connection that breaks off, with an outcome that nobody knows",
      (_response, request) => void request.socket.destroy(),
      { code: "unavailable" },
    ],
    [
      "a portal that answers in the relay's place",
      (response) => void response.writeHead(200).end("<h1>Welcome</h1>"),
      { code: "unavailable" },
    ],
  ])("is answered with an error for %s", async (_what, answer, error) => {
    onPost = answer;
    const { stream, happened } = await opened();
    stream.send(feedback("a"));
    const [, frame] = await happened(2);
    expect(frame).toMatchObject(["frame", { type: "error", ref: "a", ...error }]);
  });

  it("is not waited for when no answer comes", async () => {
    onPost = () => {};
    const { stream, happened } = await opened();
    stream.send(feedback("a"));
    await vi.waitFor(() => expect(requests).toHaveLength(2));
    world.advance(POST_WITHIN_MS);
    const [, frame] = await happened(2);
    expect(frame).toMatchObject(["frame", { type: "error", ref: "a", code: "unavailable" }]);
  });

  it("is not answered when it has no id and was taken", async () => {
    onPost = (response) => json(response, 200, { messages: [{ id: null, position: null }] });
    const { stream, happened } = await opened();
    stream.send(JSON.stringify({ type: "seen", hints: ["h"] }));
    onPost = (response) => json(response, 200, { messages: [{ id: "a", position: "7-1" }] });
    stream.send(feedback("a"));
    expect((await happened(2)).slice(1)).toMatchObject([["frame", { type: "ack", ref: "a" }]]);
  });

  it("gets there although the stream closes meanwhile, and is answered no more", async () => {
    let arrived = "";
    let answer = () => {};
    onPost = (response, _request, body) => {
      arrived = body;
      answer = () => json(response, 200, { messages: [{ id: "a", position: "7-1" }] });
    };
    const { stream, happenings } = await opened();
    stream.send(feedback("a"));
    await vi.waitFor(() => expect(arrived).toBe(feedback("a")));
    stream.close();
    answer();
    await vi.waitFor(() => expect(world.timers).toBe(0));
    expect(happenings).toEqual([["open"]]);
  });
});
