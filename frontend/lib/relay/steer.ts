import type { Outbox } from "./outbox";
import type { Command } from "./state";

/** What the agent was told, by this page or another. */
export interface Steer {
  readonly id: string;
  readonly text: string;
  /** The relay's name for who said it; null where it is not known. */
  readonly by: string | null;
  readonly mine: boolean;
  /** Seconds since the epoch. */
  readonly at: number;
  readonly state: "pending" | "sent" | "failed";
  /** Why it failed. */
  readonly reason: string | null;
}

/** The relay's own bound on what one steer may say. */
export const MAX_STEER_CHARS = 2_000;

/** Returns what the agent was told, the newest last: what has arrived, then what is under way. */
export function steersOf(
  commands: readonly Command[],
  outbox: Outbox,
  you: string | null,
): readonly Steer[] {
  const arrived = commands.flatMap((command): Steer[] =>
    command.name !== "steer" || !command.text
      ? []
      : [
          {
            id: command.id,
            text: command.text,
            by: command.by,
            mine: command.by !== null && command.by === you,
            at: command.at,
            state: "sent",
            reason: null,
          },
        ],
  );
  const known = new Set(arrived.map(({ id }) => id));
  const underWay = outbox.flatMap(({ message, phase, reason, writtenMs }): Steer[] => {
    if (message.type !== "command" || message.name !== "steer" || known.has(message.id)) return [];
    const state = phase === "refused" ? "failed" : phase === "accepted" ? "sent" : "pending";
    const at = writtenMs / 1_000;
    return [{ id: message.id, text: message.text, by: you, mine: true, at, state, reason }];
  });
  return [...arrived, ...underWay];
}
