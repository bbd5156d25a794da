import type { TabStorage } from "./store";

const KEY = "hint-relay:guest";
const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const LENGTH = 12;

/**
 * Returns the name under which this tab's facilitator is known, made at random and kept: the same one
 * over all connections and reloads. Where storage is forbidden it lasts as long as the page.
 *
 * @param random draws from [0, 1)
 */
export function guestName(storage: TabStorage | null, random: () => number): string {
  const kept = attempt(() => storage?.getItem(KEY) ?? null);
  if (kept !== null && NAME.test(kept)) return kept;
  const name = Array.from({ length: LENGTH }, () => Math.floor(random() * 36).toString(36)).join(
    "",
  );
  attempt(() => storage?.setItem(KEY, name));
  return name;
}

function attempt<T>(access: () => T): T | null {
  try {
    return access();
  } catch {
    return null;
  }
}
