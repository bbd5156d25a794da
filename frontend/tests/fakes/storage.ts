import type { TabStorage } from "@/lib/relay/store";

/** A tab's storage that the test can look into, fill up and forbid. */
export class FakeStorage implements TabStorage {
  readonly entries = new Map<string, string>();
  writes = 0;
  /** Thrown by each access while set. */
  refusal: Error | null = null;
  /** How many characters fit into one entry. */
  capacity = Number.POSITIVE_INFINITY;

  getItem(key: string): string | null {
    this.#check();
    return this.entries.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.#check();
    if (value.length > this.capacity) throw new DOMException("full", "QuotaExceededError");
    this.writes += 1;
    this.entries.set(key, value);
  }

  removeItem(key: string): void {
    this.#check();
    this.entries.delete(key);
  }

  #check(): void {
    if (this.refusal !== null) throw this.refusal;
  }
}
