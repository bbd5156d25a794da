import { act, fireEvent, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { FacilitatorPage } from "@/components/FacilitatorPage";
import { SessionForm } from "@/components/SessionForm";
import { FakeSocket } from "../fakes/socket";

const navigation = vi.hoisted(() => ({ query: "", pushed: [] as string[] }));

vi.mock("next/navigation", () => ({
  useSearchParams: () => new URLSearchParams(navigation.query),
  useRouter: () => ({ push: (url: string) => navigation.pushed.push(url) }),
}));

let sockets: FakeSocket[];

beforeEach(() => {
  vi.useRealTimers();
  sockets = [];
  navigation.query = "session=demo";
  navigation.pushed = [];
  vi.stubGlobal(
    "WebSocket",
    class extends FakeSocket {
      static readonly CONNECTING = 0;
      static readonly OPEN = 1;
      static readonly CLOSED = 3;
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        sockets.push(this);
      }
    },
  );
});

async function openPage(): Promise<FakeSocket> {
  render(<FacilitatorPage />);
  await vi.waitFor(() => expect(sockets).toHaveLength(1));
  return sockets[0] as FakeSocket;
}

describe("facilitator's page", () => {
  it("shows hints and transcript as they come", async () => {
    const socket = await openPage();
    expect(screen.getByTestId("status")).toHaveAttribute("data-status", "connecting");
    act(() => socket.greet());
    expect(screen.getByTestId("status")).toHaveTextContent("Connected");
    act(() => {
      socket.receive({ type: "hint", text: "Slow down." });
      socket.receive({ type: "transcript", text: "I never opened it.", speaker: "Actor" });
    });
    expect(await screen.findByTestId("hint-text")).toHaveTextContent("Slow down.");
    expect(screen.getByTestId("transcript-line")).toHaveTextContent("I never opened it.");
  });

  it("says when the next try is due, and tries now when asked", async () => {
    const socket = await openPage();
    act(() => socket.greet());
    act(() => socket.breakOff());
    expect(screen.getByTestId("status")).toHaveAttribute("data-status", "reconnecting");
    expect(screen.getByText(/Next try in \d+ s/)).toBeInTheDocument();
    fireEvent.click(screen.getByRole("button", { name: "Try now" }));
    expect(sockets).toHaveLength(2);
  });

  it("says that access was refused and asks for a new link", async () => {
    const socket = await openPage();
    act(() => socket.greet());
    act(() => socket.breakOff(1008, "Unauthorized"));
    expect(screen.getByTestId("status")).toHaveAttribute("data-status", "refused");
    expect(screen.getByRole("alert")).toHaveTextContent("Ask for a new link");
    expect(screen.queryByRole("button", { name: /Try/ })).not.toBeInTheDocument();
  });

  it("shows no more than may be done to somebody who may only look on", async () => {
    const socket = await openPage();
    act(() => socket.greet({ role: "observer" }));
    act(() => socket.receive({ type: "hint", id: "a", text: "Slow down." }));
    await screen.findByTestId("hint");
    expect(screen.getByTestId("read-only")).toBeInTheDocument();
    expect(screen.queryByRole("textbox", { name: "Tell the coach" })).not.toBeInTheDocument();
    await userEvent.keyboard("?");
    const keys = screen.getByRole("dialog", { name: "Keys" });
    expect(keys).toHaveTextContent("Next hint");
    expect(keys).not.toHaveTextContent("Dismiss");
  });

  it("shows an error of the agent until it is waved away", async () => {
    const socket = await openPage();
    act(() => socket.greet());
    act(() => socket.receive({ type: "error", text: "The model does not answer." }));
    expect(await screen.findByTestId("notice")).toHaveTextContent("The model does not answer.");
    fireEvent.click(screen.getByRole("button", { name: "Dismiss" }));
    expect(screen.queryByTestId("notice")).not.toBeInTheDocument();
  });

  it("shows the keys on ? and on demand, and takes no key while they are shown or typed", async () => {
    const socket = await openPage();
    act(() => socket.greet());
    act(() => socket.receive({ type: "hint", id: "a", text: "Slow down." }));
    await screen.findByTestId("hint");
    const box = screen.getByRole("textbox", { name: "Tell the coach" });
    await userEvent.type(box, "u?");
    expect(screen.queryByRole("dialog")).not.toBeInTheDocument();
    act(() => box.blur());
    await userEvent.keyboard("?");
    expect(screen.getByRole("dialog", { name: "Keys" })).toBeVisible();
    await userEvent.keyboard("u");
    expect(socket.sent).toEqual([]);
    fireEvent.click(screen.getByRole("button", { name: "Close" }));
    expect(screen.queryByRole("dialog")).not.toBeInTheDocument();
    await userEvent.keyboard("u");
    expect(socket.sent).toMatchObject([{ type: "feedback", hint: "a", action: "used" }]);
  });

  it("says who is watching while it is connected", async () => {
    const socket = await openPage();
    act(() => socket.greet({ you: "guest-me" }));
    act(() => socket.receive({ type: "presence", facilitators: 2, who: ["guest-me", "ana"] }));
    expect(await screen.findByTestId("watching")).toHaveAccessibleName("2 watching");
    act(() => socket.breakOff());
    expect(screen.queryByTestId("watching")).not.toBeInTheDocument();
  });

  it("remembers whether old hints are to be cleared", async () => {
    await openPage();
    await userEvent.click(screen.getByRole("button", { name: "Settings" }));
    const choice = screen.getByRole("checkbox", { name: /Clear old hints when reconnecting/ });
    expect(choice).not.toBeChecked();
    await userEvent.click(choice);
    expect(window.localStorage.getItem("hint-relay:clear-on-reconnect")).toBe("true");
    await userEvent.keyboard("{Escape}");
    expect(choice).not.toBeVisible();
  });

  it("names mixed content where the browser blocks the address", async () => {
    vi.stubGlobal(
      "WebSocket",
      class {
        constructor() {
          throw new DOMException("insecure", "SecurityError");
        }
      },
    );
    render(<FacilitatorPage />);
    expect(await screen.findByRole("alert")).toHaveTextContent(
      "This page is served over https, so the relay must be reachable over wss.",
    );
  });

  it.each(["", "session=", "session=a%20b", `session=${"x".repeat(129)}`])(
    "asks for a session when the address has %j",
    (query) => {
      navigation.query = query;
      render(<FacilitatorPage />);
      expect(screen.getByRole("heading", { name: "Which session?" })).toBeVisible();
      expect(screen.getByRole("textbox", { name: "Session name" })).toBeVisible();
      expect(sockets).toHaveLength(0);
    },
  );
});

describe("session form", () => {
  it("opens the session that is named", async () => {
    render(<SessionForm />);
    await userEvent.type(screen.getByRole("textbox"), " demo~1 {Enter}");
    expect(navigation.pushed).toEqual(["/session/facilitator?session=demo~1"]);
  });

  it("says what a name may be, and opens nothing, where it isn't one", async () => {
    render(<SessionForm />);
    await userEvent.type(screen.getByRole("textbox"), "a b{Enter}");
    expect(screen.getByRole("alert")).toHaveTextContent("not a session name");
    expect(navigation.pushed).toEqual([]);
  });
});
