import { expect, it } from "vitest";
import { personName } from "@/lib/people";
import { guestName } from "@/lib/relay/guest";
import { FakeStorage } from "../../fakes/storage";

it("gives a tab one name for as long as it lasts", () => {
  const storage = new FakeStorage();
  const name = guestName(storage, Math.random);
  expect(name).toMatch(/^[a-z0-9]{12}$/);
  expect(guestName(storage, Math.random)).toBe(name);
  expect(guestName(new FakeStorage(), Math.random)).not.toBe(name);
});

it("makes a name where none can be kept, or the one kept is none", () => {
  const storage = new FakeStorage();
  storage.setItem("hint-relay:guest", "not a name!");
  expect(guestName(storage, () => 0)).toBe("000000000000");
  storage.refusal = new DOMException("forbidden", "SecurityError");
  expect(guestName(storage, () => 0.999)).toBe("zzzzzzzzzzzz");
});

it("names people so that the reader can tell them apart", () => {
  const names = ["guest-7f3a9c1k2m3n", "guest-me", "ana", null].map((by) =>
    personName(by, "guest-me"),
  );
  expect(names).toEqual(["Guest 7f3a", "you", "ana", "somebody"]);
});
