import { render, screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { HintsPanel } from "@/components/HintsPanel";
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
