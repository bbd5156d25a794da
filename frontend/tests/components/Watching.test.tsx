import { fireEvent, render, screen, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { Watching } from "@/components/Watching";

const who = ["ana", "guest-7f3a9c", "guest-me"];

it("says how many are watching, and on demand who", () => {
  render(<Watching presence={{ facilitators: 5, who }} you="guest-me" />);
  const button = screen.getByRole("button", { name: "5 watching" });
  expect(button).toHaveAttribute("title", "ana, Guest 7f3a");
  expect(screen.queryByRole("list")).not.toBeInTheDocument();
  fireEvent.click(button);
  const names = within(screen.getByRole("list")).getAllByRole("listitem");
  expect(names.map((name) => name.textContent)).toEqual(["You", "ana", "Guest 7f3a", "and 2 more"]);
  fireEvent.keyDown(document.body, { key: "Escape" });
  expect(button).toHaveAttribute("aria-expanded", "false");
  expect(button).toHaveFocus();
});

it("says that nobody else is", () => {
  render(<Watching presence={{ facilitators: 1, who: ["guest-me"] }} you="guest-me" />);
  expect(screen.getByRole("button", { name: "Only you are watching" })).toBeVisible();
});
