/** Takes a fixed phrase and fields. */
export type Log = (phrase: string, fields: Record<string, unknown>) => void;

export const silentLog: Log = () => {};

const WARNINGS: ReadonlySet<string> = new Set(["unknown message type", "invalid message", "error"]);

/** Returns a log that writes to the console in development, and nowhere else. */
export function developmentLog(): Log {
  if (process.env.NODE_ENV !== "development") return silentLog;
  return (phrase, fields) => {
    const method = WARNINGS.has(phrase) ? "warn" : "debug";
    // biome-ignore lint/suspicious/noConsole: this is the one place that writes to the console.
    console[method](`relay: ${phrase}`, fields);
  };
}
