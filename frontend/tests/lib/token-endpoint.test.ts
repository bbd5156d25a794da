import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TokenError } from "@/lib/relay/token-keeper";
import { tokenEndpoint } from "@/lib/token-endpoint";

let server: Server;
let page: string;
let seen: IncomingMessage[];
let answer: (response: ServerResponse) => void;

beforeEach(async () => {
  seen = [];
  server = createServer((request, response) => {
    seen.push(request);
    answer(response);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  page = `http://127.0.0.1:${(server.address() as AddressInfo).port}/session/facilitator?session=demo`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
});

const ask = (configured = "/api/token?for=page", signal = new AbortController().signal) =>
  (tokenEndpoint(configured, "demo", page) ?? expect.fail())(signal);
const failure = (asked: Promise<string>) => asked.then(expect.fail, (error: unknown) => error);

it("asks for the session's token where the page comes from, or elsewhere", async () => {
  answer = (response) => response.end('{"token":"a.b.c"}');
  expect(await ask()).toBe("a.b.c");
  expect(await ask(new URL("/other", page).href)).toBe("a.b.c");
  expect(seen.map(({ method, url }) => [method, url])).toEqual([
    ["GET", "/api/token?for=page&session=demo"],
    ["GET", "/other?session=demo"],
  ]);
});

it("is not there where none is configured", () => {
  for (const configured of [undefined, "", " "]) {
    expect(tokenEndpoint(configured, "demo", page)).toBeNull();
  }
});

it.each([401, 403])("says that the person was refused: %d", async (status) => {
  answer = (response) => response.writeHead(status).end();
  expect(await failure(ask())).toMatchObject({ refused: true, message: `It answered ${status}.` });
});

it("says for how long it is to be left alone", async () => {
  answer = (response) => response.writeHead(503, { "Retry-After": "9" }).end();
  expect(await failure(ask())).toMatchObject({ refused: false, retryAfterMs: 9_000 });
});

it.each(["<h1>Sign in</h1>", "{}", '{"token":5}', '{"token":"a b"}', '{"token":""}'])(
  "wants a token that can be used: %s",
  async (body) => {
    answer = (response) => response.end(body);
    const error = await failure(ask());
    expect(error).toBeInstanceOf(TokenError);
    expect(error).toMatchObject({ refused: false, message: "Its answer holds no token." });
  },
);

it("fails where nobody answers, where the address is none, and where nobody waits any more", async () => {
  answer = (response) => response.destroy();
  expect(await failure(ask())).toMatchObject({ message: "It can't be reached." });
  expect(await failure(ask("http://"))).toMatchObject({ refused: false });
  answer = () => {};
  const patience = new AbortController();
  const asked = failure(ask(undefined, patience.signal));
  patience.abort();
  expect(await asked).toBeInstanceOf(TokenError);
});
