/** Keeps the position of one session. */
export interface PositionStore {
  load(): string | null;
  save(position: string | null): void;
}

/** Returns a store that lasts as long as the page. */
export function memoryPositions(): PositionStore {
  let kept: string | null = null;
  return {
    load: () => kept,
    save(position) {
      kept = position;
    },
  };
}
