"use client";

import { ArrowUp } from "lucide-react";
import { Fragment, useCallback, useId, useMemo, useRef, useState } from "react";
import { useNow } from "@/hooks/useNow";
import { useUnseen } from "@/hooks/useUnseen";
import { type Away, NOTHING_MISSED } from "@/lib/relay/away";
import type { ConnectionStatus } from "@/lib/relay/client";
import { type Hint, isSpent } from "@/lib/relay/hint";
import { AwayAnnouncer } from "./AwayAnnouncer";
import { AwayDivider } from "./AwayDivider";
import { HintAnnouncer } from "./HintAnnouncer";
import { HintCard } from "./HintCard";
import { HintsEmpty } from "./HintsEmpty";
import { MoreButton } from "./MoreButton";
import { StatusDot } from "./StatusDot";

interface HintsPanelProps {
  /** The oldest first. */
  readonly hints: readonly Hint[];
  readonly status: ConnectionStatus;
  readonly away?: Away;
  readonly onDismissAway?: () => void;
}

// Closer to the top than this, the reader is taken to be looking at the newest hint.
const TOP_PX = 24;

/** The hints, the newest first and largest; what is older or spent steps back. */
export function HintsPanel({
  hints,
  status,
  away = NOTHING_MISSED,
  onDismissAway = () => {},
}: HintsPanelProps) {
  const titleId = useId();
  const scroller = useRef<HTMLDivElement>(null);
  const [atTop, setAtTop] = useState(true);
  const nowS = useNow(hints.length > 0);
  const ids = useMemo(() => hints.map((hint) => hint.id), [hints]);
  const unseen = useUnseen(ids, atTop);
  const newestFirst = useMemo(() => hints.toReversed(), [hints]);

  const newestMissed = newestFirst.findIndex((hint) => away.hints.has(hint.id));

  const onScroll = useCallback(() => {
    setAtTop((scroller.current?.scrollTop ?? 0) <= TOP_PX);
  }, []);
  const toTop = useCallback(() => {
    scroller.current?.scrollTo({ top: 0 });
    setAtTop(true);
  }, []);

  return (
    <section aria-labelledby={titleId} className="relative flex min-h-0 min-w-0 flex-col">
      <div className="flex h-13 shrink-0 items-center gap-3 px-4 md:px-6">
        <h2 id={titleId} className="font-semibold text-lg">
          Coach Hints
        </h2>
        <StatusDot status={status} />
      </div>
      <HintAnnouncer hint={hints.at(-1) ?? null} />
      <AwayAnnouncer away={away} />
      {hints.length === 0 ? (
        <HintsEmpty status={status} />
      ) : (
        <section
          ref={scroller}
          onScroll={onScroll}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard.
          tabIndex={0}
          aria-label="Hints, the newest first"
          className="min-h-0 flex-1 overflow-y-auto overscroll-contain px-4 pb-6 md:px-6"
        >
          <ol reversed className="mx-auto max-w-4xl">
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
                    rank={lead ? "lead" : spent ? "spent" : index <= 2 ? "recent" : "older"}
                    nowS={lead ? nowS : null}
                    missed={away.hints.has(hint.id)}
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
}
