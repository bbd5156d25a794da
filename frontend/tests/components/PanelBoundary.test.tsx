import { fireEvent, render, screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { PanelBoundary } from "@/components/PanelBoundary";

let broken = true;

function Fragile() {
  if (broken) throw new Error("broken");
  return <p>whole</p>;
}

it("keeps the other panels up when one fails, and starts it again when asked", () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  render(
    <>
      <PanelBoundary title="Coach Hints">
        <Fragile />
      </PanelBoundary>
      <PanelBoundary title="Transcript">
        <p>lines</p>
      </PanelBoundary>
    </>,
  );
  expect(screen.getByText("lines")).toBeVisible();
  expect(screen.getByRole("alert")).toHaveTextContent("Coach Hints");
  broken = false;
  fireEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(screen.getByText("whole")).toBeVisible();
});
