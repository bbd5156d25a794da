"use client";

import { CircleAlert, RotateCw } from "lucide-react";
import { useNow } from "@/hooks/useNow";
import type { Explanation } from "@/lib/connection-words";
import type { ConnectionStatus } from "@/lib/relay/connection-state";

interface ConnectionBannerProps {
  readonly explanation: Explanation;
  readonly status: ConnectionStatus;
  /** When the next try is due, in ms since the epoch. */
  readonly retryAtMs: number | null;
  readonly onRetry: () => void;
}

const TONES: Readonly<Record<"passing" | "final", string>> = {
  // Waits before it shows: most breaks heal within a second, and the page should keep still.
  passing: "motion-safe:animate-reveal border-warn bg-warn-paper",
  final: "border-bad bg-bad-paper",
};

/** Says why there is no connection, when the next try is due, and what can be done. */
export function ConnectionBanner({
  explanation,
  status,
  retryAtMs,
  onRetry,
}: ConnectionBannerProps) {
  const passing = status === "reconnecting" || status === "offline";
  return (
    <div
      role={passing ? undefined : "alert"}
      className={`flex shrink-0 items-center gap-3 overflow-hidden border-b px-4 py-2 md:px-6 ${TONES[passing ? "passing" : "final"]}`}
    >
      <CircleAlert
        aria-hidden="true"
        className={`size-5 shrink-0 ${passing ? "text-warn" : "text-bad"}`}
      />
      <p className="min-w-0 flex-1 text-pretty [overflow-wrap:anywhere]">
        <strong className="font-semibold">{explanation.title}.</strong> {explanation.text}{" "}
        {status === "reconnecting" && <NextTry retryAtMs={retryAtMs} />}
      </p>
      {explanation.canRetry && (
        <button
          type="button"
          onClick={onRetry}
          disabled={passing && retryAtMs === null}
          className="inline-flex min-h-10 shrink-0 items-center gap-2 rounded-lg border border-line-strong bg-surface px-3 font-medium text-sm disabled:opacity-60"
        >
          <RotateCw aria-hidden="true" className="size-4" />
          {passing ? "Try now" : "Try again"}
        </button>
      )}
    </div>
  );
}

function NextTry({ retryAtMs }: { readonly retryAtMs: number | null }) {
  const nowS = useNow(retryAtMs !== null);
  if (retryAtMs === null) return <span>Trying now…</span>;
  const seconds = Math.max(1, Math.ceil(retryAtMs / 1_000 - nowS));
  return <span className="tabular-nums">Next try in {seconds} s.</span>;
}
