import { beforeEach, describe, expect, it } from "vitest";
import { TransportChoice } from "@/lib/relay/transport-choice";

let choice: TransportChoice;
beforeEach(() => {
  choice = new TransportChoice();
});

const blocked = () => {
  choice.socketFailed();
  choice.socketFailed();
  choice.streamWorked();
  choice.socketFailedBeside();
};

describe("what is connected with next", () => {
  it("is a socket, until two in a row have failed", () => {
    choice.socketFailed();
    choice.socketWorked();
    choice.socketFailed();
    expect(choice.next).toBe("socket");
    choice.socketFailed();
    expect(choice.next).toBe("stream");
  });

  it("is a socket after a stream that failed, and a stream after one more socket", () => {
    choice.socketFailed();
    choice.socketFailed();
    choice.streamFailed();
    expect(choice.next).toBe("socket");
    choice.socketFailed();
    expect(choice.next).toBe("stream");
  });

  it("stays a stream over a break where sockets are blocked, but not for ever", () => {
    blocked();
    choice.streamFailed();
    expect([choice.next, choice.blocked]).toEqual(["stream", true]);
    choice.streamFailed();
    expect([choice.next, choice.blocked]).toEqual(["socket", false]);
  });

  it("is a socket again once one has worked, or in another network", () => {
    blocked();
    choice.socketWorked();
    expect([choice.next, choice.blocked]).toEqual(["socket", false]);
    blocked();
    choice.networkChanged();
    expect([choice.next, choice.blocked]).toEqual(["socket", false]);
  });
});

it("counts sockets as blocked only when one failed beside a stream that stands", () => {
  choice.socketFailed();
  choice.socketFailed();
  choice.streamWorked();
  expect(choice.blocked).toBe(false);
  choice.socketFailedBeside();
  expect(choice.blocked).toBe(true);
});
