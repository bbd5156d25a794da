import { fireEvent, render, screen, within } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import { HintsPanel } from "@/components/HintsPanel";
import type { Away } from "@/lib/relay/away";
import type { ConnectionStatus } from "@/lib/relay/connection-state";
import type { Hint } from "@/lib/relay/hint";
import { NO_MARKS } from "@/lib/relay/marks";
import { FakeSight } from "../fakes/intersection";
import { hint } from "../fakes/session";

describe("hints panel", () => {
  it("is titled Coach Hints", () => {
    render(<HintsPanel hints={[]} status="connected" />);
    expect(screen.getByRole("heading", { name: "Coach Hints" })).toBeVisible();
  });

  it.each<[ConnectionStatus, string, RegExp]>([
    ["connecting", "Connecting…", /Connecting to the relay/],
    ["connected", "Connected", /Connected, and waiting/],
    ["reconnecting", "Reconnecting…", /Trying to reconnect/],
    ["offline", "Offline", /offline/],
    ["refused", "Access refused", /access was refused/],
    ["closed", "Disconnected", /Not connected/],
  ])("says in a word and in the empty panel that it is %s", (status, word, waiting) => {
    render(<HintsPanel hints={[]} status={status} />);
    const dot = screen.getByTestId("status");
    expect(dot).toHaveTextContent(word);
    expect(dot).toHaveAttribute("data-status", status);
    expect(dot).toHaveAttribute("aria-live", "polite");
    const empty = screen.getByTestId("hints-empty");
    expect(empty).toHaveTextContent("Hints will appear here.");
    expect(empty).toHaveTextContent(waiting);
  });

  it("puts the newest hint first and foremost", () => {
    const hints = ["a", "b", "c", "d", "e"].map((id) => hint({ id, text: id }));
    render(<HintsPanel hints={hints} status="connected" />);
    const cards = screen.getAllByTestId("hint");
    expect(cards.map((card) => within(card).getByTestId("hint-text").textContent)).toEqual([
      "e",
      "d",
      "c",
      "b",
      "a",
    ]);
    expect(cards.map((card) => card.dataset.rank)).toEqual([
      "lead",
      "recent",
      "recent",
      "older",
      "older",
    ]);
    expect(screen.queryByTestId("hints-empty")).not.toBeInTheDocument();
  });

  it("lets an expired hint step back", () => {
    render(<HintsPanel hints={[hint({ expiresAt: 1 })]} status="connected" />);
    const card = screen.getByTestId("hint");
    expect(card).toHaveAttribute("data-rank", "spent");
    expect(card).toHaveTextContent("Expired");
  });

  it("says in a word that a hint is important, and in another that it is being written", () => {
    const hints = [hint({ id: "a", priority: "high" }), hint({ id: "b", status: "streaming" })];
    render(<HintsPanel hints={hints} status="connected" />);
    const [writing, important] = screen.getAllByTestId("hint");
    expect(important).toHaveTextContent("Important");
    expect(writing).toHaveTextContent("Writing…");
  });

  it("shows what looks like markup as the text that it is", () => {
    const text = '<img src=x onerror="alert(1)"><b>x</b>';
    render(<HintsPanel hints={[hint({ text })]} status="connected" />);
    expect(screen.getByTestId("hint-text")).toHaveTextContent(text);
    expect(screen.getByTestId("hint-text").querySelector("img, b")).toBeNull();
  });
});

describe("what came while the reader was away", () => {
  const hints = ["old", "missed 1", "missed 2", "live"].map((id) => hint({ id, text: id }));
  const away: Away = { hints: new Set(["missed 1", "missed 2"]), lines: new Set(), over: true };

  it("is a group with a heading, below what came since and above what came before", () => {
    render(<HintsPanel hints={hints} status="connected" away={away} />);
    const divider = screen.getByTestId("away");
    expect(divider).toHaveTextContent("While you were away (2)");
    expect(divider).toHaveAttribute("data-count", "2");
    const rows = within(screen.getByRole("list")).getAllByRole("listitem");
    expect(rows.map((row) => row.dataset.id ?? "divider")).toEqual([
      "live",
      "divider",
      "missed 2",
      "missed 1",
      "old",
    ]);
    expect(rows.map((row) => row.dataset.missed)).toEqual([
      "false",
      undefined,
      "true",
      "true",
      "false",
    ]);
  });

  it("is read out once it is whole", () => {
    const panel = (change: Partial<Away>) => (
      <HintsPanel hints={hints} status="connected" away={{ ...away, ...change }} />
    );
    const { rerender } = render(panel({ over: false }));
    expect(screen.queryByText("2 hints while you were away")).not.toBeInTheDocument();
    rerender(panel({}));
    const said = screen.getByText("2 hints while you were away");
    expect(said.parentElement).toHaveAttribute("aria-live", "polite");
    // What comes live changes nothing about it; the next absence does, be it as long.
    rerender(panel({ lines: new Set(["l1"]) }));
    expect(screen.getByText("2 hints while you were away")).toBe(said);
    rerender(panel({ hints: new Set(["missed 2", "live"]) }));
    expect(screen.getByText("2 hints while you were away")).not.toBe(said);
    rerender(panel({ hints: new Set(["missed 1"]) }));
    expect(screen.getByText("1 hint while you were away")).toBeInTheDocument();
  });

  it("can be waved away", () => {
    const onDismissAway = vi.fn();
    render(
      <HintsPanel hints={hints} status="connected" away={away} onDismissAway={onDismissAway} />,
    );
    fireEvent.click(screen.getByRole("button", { name: "Dismiss: while you were away" }));
    expect(onDismissAway).toHaveBeenCalledOnce();
  });

  it("has no heading when none of it is left, or nothing was missed", () => {
    const { rerender } = render(
      <HintsPanel hints={hints.slice(0, 1)} status="connected" away={away} />,
    );
    expect(screen.queryByTestId("away")).not.toBeInTheDocument();
    rerender(<HintsPanel hints={hints} status="connected" />);
    expect(screen.queryByTestId("away")).not.toBeInTheDocument();
  });
});

describe("a hint that is being written", () => {
  const text = () => screen.getByTestId("hint-text");

  it("has a caret, is busy to screen readers, and thinks before it has words", () => {
    const panel = (change: Partial<Hint>) => (
      <HintsPanel hints={[hint({ text: "", status: "streaming", ...change })]} status="connected" />
    );
    const { rerender } = render(panel({}));
    expect(text()).toHaveTextContent("Thinking");
    expect(screen.getByTestId("hint")).toHaveAttribute("aria-busy", "true");
    rerender(panel({ text: "Let her" }));
    expect(text().textContent).toBe("Let her");
    expect(screen.getByTestId("caret")).toBeInTheDocument();
    rerender(panel({ text: "Let her finish.", status: "complete" }));
    expect(screen.queryByTestId("caret")).not.toBeInTheDocument();
    expect(screen.getByTestId("hint")).toHaveAttribute("aria-busy", "false");
  });

  it("has no other hint rendered again while it grows", () => {
    let renders = 0;
    const still: Hint = {
      ...hint({ id: "still" }),
      // Of all that is shown, only a card asks for it.
      get category() {
        renders += 1;
        return "pacing";
      },
    };
    const panel = (text: string) => (
      <HintsPanel
        hints={[still, hint({ id: "a", text, status: "streaming" })]}
        status="connected"
      />
    );
    const { rerender } = render(panel(""));
    expect(renders).toBe(1);
    for (const words of ["Let", "Let her", "Let her finish."]) rerender(panel(words));
    expect(renders).toBe(1);
    expect(screen.getAllByTestId("hint-text")[0]).toHaveTextContent("Let her finish.");
  });

  it("is read out when it is whole, also when another began after it", () => {
    const growing = hint({ id: "a", text: "Let", status: "streaming" });
    const other = hint({ id: "b", text: "Wait.", newest: { epoch: 7, offset: 2 } });
    const { container, rerender } = render(
      <HintsPanel hints={[growing, other]} status="connected" />,
    );
    const said = () => container.querySelector("p[aria-live]")?.textContent;
    expect(said()).toBe("Wait.");
    const whole = hint({ id: "a", text: "Let her.", newest: { epoch: 7, offset: 3 } });
    rerender(<HintsPanel hints={[whole, other]} status="connected" />);
    expect(said()).toBe("Let her.");
  });

  it("says how it ended, and isn't there when it ended well without a word", () => {
    const hints = (["complete", "cancelled", "interrupted"] as const).map((status) =>
      hint({ id: status, text: "", status }),
    );
    render(<HintsPanel hints={hints} status="connected" />);
    const cards = screen.getAllByTestId("hint");
    expect(cards.map((card) => card.dataset.id)).toEqual(["interrupted", "cancelled"]);
    expect(cards[0]).toHaveTextContent("The agent broke off");
    expect(cards[1]).toHaveTextContent("Stopped");
  });

  it("can be stopped, and says that it is stopping", () => {
    const onStop = vi.fn();
    const panel = (change: Partial<Hint>) => (
      <HintsPanel
        hints={[hint({ status: "streaming", ...change })]}
        status="connected"
        onStop={onStop}
      />
    );
    const { rerender } = render(panel({}));
    fireEvent.click(screen.getByRole("button", { name: "Stop" }));
    expect(onStop).toHaveBeenCalledExactlyOnceWith("h1");
    const cancel = { action: "cancel", by: null, pending: true } as const;
    rerender(panel({ marks: { ...NO_MARKS, cancel } }));
    expect(screen.getByTestId("hint")).toHaveTextContent("Stopping…");
    expect(screen.queryByRole("button", { name: "Stop" })).not.toBeInTheDocument();
  });
});

describe("what can be done with a hint", () => {
  const used = (by: string) => ({
    ...NO_MARKS,
    outcome: { action: "used", by, pending: false } as const,
  });

  it("is named on each button, with its key", () => {
    const onToggle = vi.fn();
    render(<HintsPanel hints={[hint()]} status="connected" onToggle={onToggle} />);
    const card = within(screen.getByTestId("hint"));
    const names = ["Used", "Dismiss", "Helpful", "Not helpful", "Pin"];
    for (const name of names) fireEvent.click(card.getByRole("button", { name }));
    expect(onToggle.mock.calls.map(([, action]) => action)).toEqual([
      "used",
      "dismissed",
      "helpful",
      "unhelpful",
      "pinned",
    ]);
    expect(card.getByRole("button", { name: "Pin" })).toHaveAttribute("title", "Pin (P)");
  });

  it("is undone in the same place, by what did it", () => {
    const onToggle = vi.fn();
    const hints = [hint({ marks: used("guest-me") })];
    render(<HintsPanel hints={hints} status="connected" you="guest-me" onToggle={onToggle} />);
    const card = screen.getByTestId("hint");
    expect(card).toHaveAttribute("data-rank", "spent");
    expect(card).toHaveTextContent("Used by you");
    fireEvent.click(within(card).getByRole("button", { name: "Undo: used" }));
    expect(onToggle).toHaveBeenCalledExactlyOnceWith("h1", "used");
  });

  it("says who did it where that was somebody else", () => {
    const rating = { action: "helpful", by: "guest-7f3a9c", pending: false } as const;
    const pin = { action: "pinned", by: "guest-me", pending: false } as const;
    const marks = { ...used("ana"), rating, pin };
    render(<HintsPanel hints={[hint({ marks })]} status="connected" you="guest-me" />);
    const card = screen.getByTestId("hint");
    for (const words of ["Used by ana", "Helpful by Guest 7f3a"]) {
      expect(card).toHaveTextContent(words);
    }
    expect(card).not.toHaveTextContent("Pinned by");
    expect(within(card).getByRole("button", { name: "Helpful" })).toHaveAttribute(
      "aria-pressed",
      "true",
    );
    // Pinned: it doesn't step back.
    expect(card).toHaveAttribute("data-rank", "lead");
  });

  it("says what has not reached the relay yet", () => {
    const pin = { action: "pinned", by: null, pending: true } as const;
    render(<HintsPanel hints={[hint({ marks: { ...NO_MARKS, pin } })]} status="offline" />);
    expect(screen.getByTestId("hint")).toHaveTextContent("Pinnednot sent yet");
  });

  it("is nothing where the relay wouldn't know which hint is meant", () => {
    render(<HintsPanel hints={[hint({ named: false })]} status="connected" />);
    expect(within(screen.getByTestId("hint")).queryByRole("button")).not.toBeInTheDocument();
  });
});

describe("keys", () => {
  const hints = ["c", "b", "a"].map((id) => hint({ id, text: id }));
  function setUp() {
    const onToggle = vi.fn();
    const onStop = vi.fn();
    render(<HintsPanel hints={hints} status="connected" onToggle={onToggle} onStop={onStop} />);
    const press = (...keys: string[]) => {
      for (const key of keys) fireEvent.keyDown(document.activeElement ?? document.body, { key });
    };
    const focused = () => (document.activeElement as HTMLElement | null)?.dataset.id;
    return { onToggle, onStop, press, focused };
  }

  it("move between the hints, and stop at the ends", () => {
    const { press, focused } = setUp();
    const seen = ["j", "j", "j", "j", "k", "k", "k"].map((key) => {
      press(key);
      return focused();
    });
    expect(seen).toEqual(["a", "b", "c", "c", "b", "a", "a"]);
    press("j");
    const cards = screen.getAllByTestId("hint");
    expect(cards.map((card) => card.tabIndex)).toEqual([-1, 0, -1]);
    const buttons = cards.map((card) => within(card).getByRole("button", { name: "Used" }));
    expect(buttons.map((button) => button.tabIndex)).toEqual([-1, 0, -1]);
  });

  it("act on the newest, or on the one in focus", () => {
    const { press, onToggle, onStop } = setUp();
    press("u", "j", "j", "d", "h", "n", "p", "s");
    expect(onToggle.mock.calls).toEqual([
      ["a", "used"],
      ["b", "dismissed"],
      ["b", "helpful"],
      ["b", "unhelpful"],
      ["b", "pinned"],
    ]);
    expect(onStop.mock.calls).toEqual([["b"]]);
  });

  it("stop the newest hint that grows, be there newer ones", () => {
    const onStop = vi.fn();
    const growing = hint({ id: "b", status: "streaming" });
    const panel = [hint({ id: "a", status: "streaming" }), growing, hint({ id: "c" })];
    render(<HintsPanel hints={panel} status="connected" onStop={onStop} />);
    fireEvent.keyDown(document.body, { key: "s" });
    expect(onStop).toHaveBeenCalledExactlyOnceWith("b");
  });

  it("keep the focus on a hint whose button goes away when it is pressed", () => {
    const { focused } = setUp();
    const [card] = screen.getAllByTestId("hint");
    const dismiss = within(card as HTMLElement).getByRole("button", { name: "Dismiss" });
    dismiss.focus();
    // A click that comes from the keyboard counts no presses.
    fireEvent.click(dismiss, { detail: 0 });
    expect(focused()).toBe("a");
  });

  it("keep the focus on a hint whose button somebody else makes go away", () => {
    const show = (marks: Hint["marks"], status: Hint["status"]) => (
      <HintsPanel hints={[hint({ id: "a", marks, status })]} status="connected" />
    );
    const { rerender } = render(show(NO_MARKS, "streaming"));
    const focus = (name: string) => screen.getByRole("button", { name }).focus();
    focus("Stop");
    rerender(show(NO_MARKS, "complete"));
    expect(screen.getByTestId("hint")).toHaveFocus();
    focus("Dismiss");
    const outcome = { action: "used", by: "guest-b", pending: false } as const;
    rerender(show({ ...NO_MARKS, outcome }, "complete"));
    expect(screen.getByTestId("hint")).toHaveFocus();
  });

  it("leave the focus where the reader has taken it", () => {
    const show = (status: Hint["status"]) => (
      <HintsPanel hints={[hint({ status })]} status="connected" />
    );
    const { rerender } = render(show("streaming"));
    const stop = screen.getByRole("button", { name: "Stop" });
    stop.focus();
    stop.blur();
    rerender(show("complete"));
    expect(document.body).toHaveFocus();
  });

  it("act on the newest where a mouse has left a focus that nobody sees", () => {
    const { press, focused, onToggle } = setUp();
    const card = screen.getAllByTestId("hint")[1] as HTMLElement;
    const button = within(card).getByRole("button", { name: "Helpful" });
    button.focus();
    const matches = button.matches.bind(button);
    button.matches = (selector: string) => selector !== ":focus-visible" && matches(selector);
    press("u");
    expect(onToggle.mock.calls).toEqual([["a", "used"]]);
    press("j");
    expect(focused()).toBe("c");
  });
});

describe("what is in sight", () => {
  it("is half of a hint or as much as fills the panel, once it is whole and has a name", () => {
    const sight = FakeSight.install();
    const onSight = vi.fn();
    const panel = (status: Hint["status"]) => (
      <HintsPanel
        hints={[hint({ id: "hand", named: false }), hint({ id: "a", status })]}
        status="connected"
        onSight={onSight}
      />
    );
    const { rerender, unmount } = render(panel("streaming"));
    expect(sight.watched).toEqual([]);
    rerender(panel("complete"));
    expect(sight.watched).toEqual(["a"]);
    sight.show("a", 0.4);
    sight.show("a", 0.5);
    sight.show("a", 0.1, 360);
    expect(onSight.mock.calls).toEqual([
      ["a", false],
      ["a", true],
      ["a", true],
    ]);
    unmount();
    expect(onSight).toHaveBeenLastCalledWith("a", false);
    vi.unstubAllGlobals();
  });
});

describe("somebody who may only look on", () => {
  it("sees hints without what could be done to them, and is told so", async () => {
    const onToggle = vi.fn();
    const hints = [hint({ id: "a" }), hint({ id: "b", status: "streaming" })];
    render(<HintsPanel hints={hints} status="connected" readOnly onToggle={onToggle} />);
    expect(screen.getByTestId("read-only")).toHaveTextContent("Read-only");
    expect(screen.queryByRole("button")).not.toBeInTheDocument();
    fireEvent.keyDown(document.body, { key: "u" });
    expect(onToggle).not.toHaveBeenCalled();
    fireEvent.keyDown(document.body, { key: "j" });
    expect(screen.getAllByTestId("hint")[0]).toHaveFocus();
  });
});

describe("the fallback", () => {
  it("is named beside the connection's state, explained on demand, and can be left", () => {
    const onRetry = vi.fn();
    render(<HintsPanel hints={[]} status="connected" fallback onRetry={onRetry} />);
    const hint = screen.getByRole("button", {
      name: "WebSockets are blocked here: using the fallback",
    });
    expect(screen.getByText(/Everything works/)).not.toBeVisible();
    fireEvent.click(hint);
    expect(screen.getByText(/Everything works/)).toBeVisible();
    screen.getByRole("button", { name: "Try now" }).focus();
    fireEvent.click(screen.getByRole("button", { name: "Try now" }));
    expect(onRetry).toHaveBeenCalledOnce();
    expect(screen.getByText(/Everything works/)).not.toBeVisible();
    expect(hint).toHaveFocus();
  });

  it("is read out when it begins", () => {
    const { rerender } = render(<HintsPanel hints={[]} status="connected" />);
    const words = () =>
      [...document.querySelectorAll("p[aria-live=polite]")].map((live) => live.textContent);
    expect(words().join("")).toBe("");
    rerender(<HintsPanel hints={[]} status="connected" fallback />);
    expect(words()).toContain("WebSockets are blocked here: using the fallback.");
  });

  it("is not spoken of where there is none", () => {
    render(<HintsPanel hints={[]} status="connected" />);
    expect(screen.queryByTestId("fallback")).not.toBeInTheDocument();
  });
});
