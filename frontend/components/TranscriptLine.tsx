import { memo } from "react";
import type { Line } from "@/lib/relay/line";
import { Time } from "./Time";

interface TranscriptLineProps {
  readonly line: Line;
  /** The order in which the speaker was first heard; null when nobody is named. */
  readonly speakerNumber: number | null;
  /** Whether the line before is by the same speaker, so that the name needn't be said again. */
  readonly continues: boolean;
}

const SPEAKER_COLORS = [
  "text-speaker-1",
  "text-speaker-2",
  "text-speaker-3",
  "text-speaker-4",
  "text-speaker-5",
  "text-speaker-6",
] as const;

/** One line of the transcript. Words that may still change are set apart. */
export const TranscriptLine = memo(function TranscriptLine({
  line,
  speakerNumber,
  continues,
}: TranscriptLineProps) {
  const color =
    speakerNumber === null
      ? "text-ink-soft"
      : SPEAKER_COLORS[speakerNumber % SPEAKER_COLORS.length];
  return (
    <div
      data-testid="transcript-line"
      data-id={line.id}
      data-final={line.final}
      className={`grid grid-cols-[minmax(0,1fr)_auto] gap-x-4 ${continues ? "pt-1.5" : "pt-4"}`}
    >
      <div className="min-w-0">
        <p className={continues ? "sr-only" : `truncate font-semibold text-sm ${color}`}>
          {line.speaker ?? "Unknown speaker"}
        </p>
        <p
          className={`whitespace-pre-wrap text-pretty leading-relaxed [overflow-wrap:anywhere] ${
            line.final ? "" : "text-ink-soft italic"
          }`}
        >
          {line.text}
          {!line.final && <span className="sr-only"> (not final yet)</span>}
        </p>
      </div>
      <Time at={line.at} className="pt-0.5 text-ink-faint text-xs" />
    </div>
  );
});
