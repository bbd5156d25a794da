import { fireEvent, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { SteerBar } from "@/components/SteerBar";
import type { Steer } from "@/lib/relay/steer";

const steer = (id: string, change: Partial<Steer> = {}): Steer => ({
  id,
  text: `Text ${id}`,
  by: "guest-7f3a9c",
  mine: false,
  at: 1_763_900_000,
  state: "sent",
  reason: null,
  ...change,
});

function setUp(steers: readonly Steer[] = [], taken = true) {
  const onSteer = vi.fn(() => taken);
  const onResend = vi.fn();
  const onDiscard = vi.fn();
  render(<SteerBar you="guest-me" {...{ steers, onSteer, onResend, onDiscard }} />);
  const box = screen.getByRole<HTMLTextAreaElement>("textbox", { name: "Tell the coach" });
  return { onSteer, onResend, onDiscard, box };
}

describe("steer box", () => {
  it("tells the agent on Enter, and begins a line on Shift and Enter", async () => {
    const { onSteer, box } = setUp();
    await userEvent.type(box, " More{Shift>}{Enter}{/Shift}pauses. {Enter}");
    expect(onSteer).toHaveBeenCalledExactlyOnceWith("More\npauses.");
    expect(box).toHaveValue("");
  });

  it("says nothing that is empty, and nothing while a word is being composed", () => {
    const { onSteer, box } = setUp();
    fireEvent.change(box, { target: { value: "  " } });
    fireEvent.keyDown(box, { key: "Enter" });
    fireEvent.change(box, { target: { value: "に" } });
    fireEvent.keyDown(box, { key: "Enter", isComposing: true });
    expect(onSteer).not.toHaveBeenCalled();
  });

  it("keeps the words when they can't be taken", async () => {
    const { box } = setUp([], false);
    await userEvent.type(box, "Slower.{Enter}");
    expect(box).toHaveValue("Slower.");
  });

  it("counts what is left near the limit of 2,000 characters", () => {
    const { box } = setUp();
    fireEvent.change(box, { target: { value: "x".repeat(1_799) } });
    expect(screen.queryByText(/left/)).not.toBeInTheDocument();
    fireEvent.change(box, { target: { value: "x".repeat(1_900) } });
    expect(screen.getByText("100 left")).toBeInTheDocument();
    expect(box.maxLength).toBe(2_000);
  });
});

describe("what the agent was told", () => {
  const rows = () => screen.getAllByTestId("steer");

  it("is its newest, until the reader wants all of it", () => {
    setUp([steer("a"), steer("b"), steer("c", { mine: true, state: "pending" })]);
    expect(rows()).toHaveLength(1);
    expect(rows()[0]).toHaveTextContent("Not sent yet: You: Text c");
    fireEvent.click(screen.getByRole("button", { name: "Show 2 more" }));
    expect(rows().map((row) => row.dataset.state)).toEqual(["sent", "sent", "pending"]);
    expect(rows()[0]).toHaveTextContent("Guest 7f3a: Text a");
    fireEvent.click(screen.getByRole("button", { name: "Show the newest only" }));
    expect(rows()).toHaveLength(1);
  });

  it("always shows what failed, with the reason, to be told again or forgotten", () => {
    const failed = steer("a", { mine: true, state: "failed", reason: "Too long." });
    const { onResend, onDiscard } = setUp([failed, steer("b")]);
    const row = within(rows()[0] as HTMLElement);
    expect(row.getByRole("alert")).toHaveTextContent("Not told. Too long.");
    fireEvent.click(row.getByRole("button", { name: "Tell it again" }));
    fireEvent.click(row.getByRole("button", { name: "Forget it" }));
    expect([onResend.mock.calls, onDiscard.mock.calls]).toEqual([[["a"]], [["a"]]]);
  });
});

describe("somebody who may only look on", () => {
  it("sees what the agent was told, and can tell it nothing", () => {
    const nothing = () => true;
    const handlers = { onSteer: nothing, onResend: nothing, onDiscard: nothing };
    const { rerender, container } = render(
      <SteerBar readOnly you={null} steers={[steer("a")]} {...handlers} />,
    );
    expect(screen.getByTestId("steer")).toHaveTextContent("Text a");
    expect(screen.queryByRole("textbox")).not.toBeInTheDocument();
    rerender(<SteerBar readOnly you={null} steers={[]} {...handlers} />);
    expect(container).toBeEmptyDOMElement();
  });
});
