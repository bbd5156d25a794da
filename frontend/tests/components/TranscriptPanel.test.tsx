import { act, fireEvent, render, screen } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import { TranscriptPanel } from "@/components/TranscriptPanel";
import type { Line } from "@/lib/relay/line";
import { line } from "../fakes/session";

const SPEAKERS = new Map([
  ["Actor", 0],
  ["Coach", 1],
]);

function panel(lines: readonly Line[]) {
  return <TranscriptPanel lines={lines} speakers={SPEAKERS} open onToggle={() => {}} />;
}

/** Scrolls the list, whose layout the test decides. */
function scrollTo(scrollTop: number, scrollHeight = 2_000) {
  const list = screen.getByRole("region", { name: "Lines, the newest last" });
  Object.defineProperty(list, "scrollHeight", { configurable: true, value: scrollHeight });
  Object.defineProperty(list, "clientHeight", { configurable: true, value: 480 });
  Object.defineProperty(list, "scrollTop", {
    configurable: true,
    writable: true,
    value: scrollTop,
  });
  act(() => void fireEvent.scroll(list));
  return list;
}

describe("transcript panel", () => {
  it("is titled Transcript and says what will be there", () => {
    render(panel([]));
    expect(screen.getByRole("heading", { name: "Transcript" })).toBeVisible();
    expect(screen.getByText("What is said will appear here.")).toBeVisible();
  });

  it("names the speaker where the speaker changes, in a colour of their own", () => {
    render(
      panel([
        line({ id: "1" }),
        line({ id: "2", text: "Not once." }),
        line({ id: "3", speaker: "Coach" }),
      ]),
    );
    const names = screen.getAllByText(/^(Actor|Coach)$/);
    expect(names.map((name) => name.className.includes("sr-only"))).toEqual([false, true, false]);
    expect(names[0]?.className).toContain("text-speaker-1");
    expect(names[2]?.className).toContain("text-speaker-2");
  });

  it("sets words apart that may still change", () => {
    render(panel([line({ final: false })]));
    expect(screen.getByTestId("transcript-line")).toHaveAttribute("data-final", "false");
  });

  it("draws only the lines in sight, of however many", () => {
    const lines = Array.from({ length: 10_000 }, (_, n) => line({ id: `${n}` }));
    render(panel(lines));
    expect(screen.getAllByTestId("transcript-line").length).toBeLessThan(60);
  });

  it("leaves a reader who looks back where they are, and counts what is new", () => {
    const lines = Array.from({ length: 50 }, (_, n) => line({ id: `${n}` }));
    const { rerender } = render(panel(lines));
    const list = scrollTo(100);
    rerender(panel([...lines, line({ id: "50" }), line({ id: "51" })]));
    expect(list.scrollTop).toBe(100);
    const more = screen.getByRole("button", { name: "2 new" });
    fireEvent.click(more);
    expect(list.scrollTop).toBe(2_000);
    expect(screen.queryByRole("button", { name: /new/ })).not.toBeInTheDocument();
  });

  it("follows the newest line while the reader is at the end", () => {
    const lines = Array.from({ length: 50 }, (_, n) => line({ id: `${n}` }));
    const { rerender } = render(panel(lines));
    const list = scrollTo(1_500);
    rerender(panel([...lines, line({ id: "50" })]));
    expect(list.scrollTop).toBe(2_000);
    expect(screen.queryByRole("button", { name: /new/ })).not.toBeInTheDocument();
  });

  it("parts what was said while the reader was away from what was said before", () => {
    const lines = ["before", "missed 1", "missed 2"].map((id) => line({ id, text: id }));
    const away = { hints: new Set<string>(), lines: new Set(["missed 1", "missed 2"]), over: true };
    const onDismissAway = vi.fn();
    render(
      <TranscriptPanel
        lines={lines}
        speakers={SPEAKERS}
        open
        onToggle={() => {}}
        away={away}
        onDismissAway={onDismissAway}
      />,
    );
    const divider = screen.getByTestId("away-lines");
    expect(divider).toHaveAttribute("data-count", "2");
    const row = divider.closest("li");
    expect(row).toHaveTextContent("missed 1");
    // Whoever reads on from here is told again who speaks.
    expect(row).toHaveTextContent("Actor");
    expect(row?.querySelector(".sr-only")).toBeNull();
    fireEvent.click(screen.getByRole("button", { name: "Dismiss: while you were away" }));
    expect(onDismissAway).toHaveBeenCalledOnce();
  });
});
