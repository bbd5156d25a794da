import { expect, it } from "vitest";
import { type KeyPress, SHORTCUTS, shortcutOf } from "@/lib/shortcuts";

const press = (key: string, change: Partial<KeyPress> = {}): KeyPress => ({
  key,
  code: `Key${key.toUpperCase()}`,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  defaultPrevented: false,
  isComposing: false,
  repeat: false,
  ...change,
});

it("knows each key, also in capitals and on keyboards with other letters", () => {
  for (const { key, does } of SHORTCUTS) {
    expect(shortcutOf(press(key), false)).toBe(does);
    expect(shortcutOf(press(key.toUpperCase()), false)).toBe(does);
  }
  expect(shortcutOf(press("о", { code: "KeyJ" }), false)).toBe("next");
  expect(shortcutOf(press("x"), false)).toBeNull();
});

it.each<Partial<KeyPress>>([
  { ctrlKey: true },
  { metaKey: true },
  { altKey: true },
  { defaultPrevented: true },
  { isComposing: true },
  { repeat: true },
])("leaves a key alone that comes with %j", (change) => {
  expect(shortcutOf(press("u", change), false)).toBeNull();
});

it("takes keys for letters while the reader types, and lets them move on while held", () => {
  expect(shortcutOf(press("u"), true)).toBeNull();
  expect(shortcutOf(press("j", { repeat: true }), false)).toBe("next");
});
