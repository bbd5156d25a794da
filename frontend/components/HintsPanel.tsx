"use client";

import { ArrowUp } from "lucide-react";
import { Fragment, memo, useCallback, useId, useMemo, useRef, useState } from "react";
import { useHintKeys } from "@/hooks/useHintKeys";
import { useInSight } from "@/hooks/useInSight";
import { useNow } from "@/hooks/useNow";
import { useUnseen } from "@/hooks/useUnseen";
import { type Away, NOTHING_MISSED } from "@/lib/relay/away";
import type { ConnectionStatus } from "@/lib/relay/connection-state";
import { type Hint, isShown, isSpent } from "@/lib/relay/hint";
import type { MarkAction } from "@/lib/relay/marks";
import { AwayAnnouncer } from "./AwayAnnouncer";
import { AwayDivider } from "./AwayDivider";
import { FallbackHint } from "./FallbackHint";
import { HintAnnouncer } from "./HintAnnouncer";
import { HintCard, type HintRank } from "./HintCard";
import { HintsEmpty } from "./HintsEmpty";
import { MoreButton } from "./MoreButton";
import { ReadOnlyMark } from "./ReadOnlyMark";
import { StatusDot } from "./StatusDot";

interface HintsPanelProps {
  /** The oldest first. */
  readonly hints: readonly Hint[];
  readonly status: ConnectionStatus;
  readonly away?: Away;
  readonly onDismissAway?: () => void;
  /** The relay's name for the reader. */
  readonly you?: string | null;
  /** Whether the reader may only look on. */
  readonly readOnly?: boolean;
  /** Whether hints come without a WebSocket. */
  readonly fallback?: boolean;
  readonly onRetry?: () => void;
  readonly onToggle?: (hint: string, action: MarkAction) => void;
  readonly onStop?: (hint: string) => void;
  readonly onSight?: (hint: string, inSight: boolean) => void;
}

// Closer to the top than this, the reader is taken to be looking at the newest hint.
const TOP_PX = 24;
const ignore = () => {};

/** The hints, the newest first and largest; what is older or spent steps back. */
export const HintsPanel = memo(function HintsPanel({
  hints: all,
  status,
  away = NOTHING_MISSED,
  onDismissAway = ignore,
  you = null,
  readOnly = false,
  fallback = false,
  onRetry = ignore,
  onToggle = ignore,
  onStop = ignore,
  onSight = ignore,
}: HintsPanelProps) {
  const titleId = useId();
  const hints = useMemo(() => all.filter(isShown), [all]);
  const list = useRef<HTMLOListElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const [atTop, setAtTop] = useState(true);
  const nowS = useNow(hints.length > 0);
  const ids = useMemo(() => hints.map((hint) => hint.id), [hints]);
  const unseen = useUnseen(ids, atTop);
  const newestFirst = useMemo(() => hints.toReversed(), [hints]);

  const keys = useHintKeys({ list, hints: newestFirst, readOnly, onToggle, onStop });
  const observe = useInSight(scroller, onSight);

  const newestMissed = newestFirst.findIndex((hint) => away.hints.has(hint.id));

  const onScroll = useCallback(() => {
    setAtTop((scroller.current?.scrollTop ?? 0) <= TOP_PX);
  }, []);
  const toTop = useCallback(() => {
    scroller.current?.scrollTo({ top: 0 });
    setAtTop(true);
  }, []);

  return (
    <section aria-labelledby={titleId} className="relative flex min-h-0 min-w-0 flex-1 flex-col">
      <div className="flex h-13 shrink-0 items-center gap-3 px-4 md:px-6">
        <h2 id={titleId} className="shrink-0 font-semibold text-lg">
          Coach Hints
        </h2>
        <StatusDot status={status} />
        <div className="ml-auto flex min-w-0 items-center gap-2">
          {readOnly && <ReadOnlyMark />}
          {fallback && <FallbackHint onRetry={onRetry} />}
        </div>
      </div>
      <HintAnnouncer hints={hints} />
      <AwayAnnouncer away={away} />
      <p className="sr-only" aria-live="polite">
        {fallback && "WebSockets are blocked here: using the fallback."}
      </p>
      {hints.length === 0 ? (
        <HintsEmpty status={status} />
      ) : (
        <section
          ref={scroller}
          onScroll={onScroll}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard.
          tabIndex={0}
          aria-label="Hints, the newest first"
          className="min-h-0 flex-1 overflow-y-auto overscroll-contain px-4 pt-1 pb-6 md:px-6"
        >
          <ol ref={list} reversed onFocus={keys.onFocus} className="mx-auto max-w-4xl">
            {newestFirst.map((hint, index) => {
              const spent = isSpent(hint, nowS);
              const lead = index === 0 && !spent;
              return (
                <Fragment key={hint.id}>
                  {index === newestMissed && (
                    <li>
                      <AwayDivider count={away.hints.size} onDismiss={onDismissAway} />
                    </li>
                  )}
                  <HintCard
                    hint={hint}
                    rank={rankOf(hint, index, spent)}
                    nowS={lead ? nowS : null}
                    missed={away.hints.has(hint.id)}
                    you={you}
                    tabStop={hint.id === keys.tabStop}
                    readOnly={readOnly}
                    observe={observe}
                    onToggle={onToggle}
                    onStop={onStop}
                  />
                </Fragment>
              );
            })}
          </ol>
        </section>
      )}
      {unseen > 0 && (
        <MoreButton className="top-14" onClick={toTop}>
          <ArrowUp aria-hidden="true" className="size-4" />
          {unseen} new
        </MoreButton>
      )}
    </section>
  );
});

function rankOf(hint: Hint, index: number, spent: boolean): HintRank {
  if (spent) return "spent";
  if (index === 0) return "lead";
  return index <= 2 || hint.marks.pin !== null ? "recent" : "older";
}
