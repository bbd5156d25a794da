import { clockTime, isoTime } from "@/lib/time";

interface TimeProps {
  /** Seconds since the epoch. */
  readonly at: number;
  readonly className?: string;
}

/** A time of day. */
export function Time({ at, className = "" }: TimeProps) {
  return (
    <time dateTime={isoTime(at)} className={`tabular-nums ${className}`}>
      {clockTime(at)}
    </time>
  );
}
