import { fireEvent, render, screen, within } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import { HintsPanel } from "@/components/HintsPanel";
import type { Away } from "@/lib/relay/away";
import type { ConnectionStatus } from "@/lib/relay/client";
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
    ["refused", "Access refused", /refused access/],
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
