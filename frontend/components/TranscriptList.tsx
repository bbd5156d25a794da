"use client";

import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown } from "lucide-react";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { useUnseen } from "@/hooks/useUnseen";
import type { Away } from "@/lib/relay/away";
import type { Line } from "@/lib/relay/line";
import { AwayDivider } from "./AwayDivider";
import { MoreButton } from "./MoreButton";
import { TranscriptLine } from "./TranscriptLine";

interface TranscriptListProps {
  readonly lines: readonly Line[];
  readonly speakers: ReadonlyMap<string, number>;
  readonly away: Away;
  readonly onDismissAway: () => void;
}

const ESTIMATED_LINE_PX = 48;
const OVERSCAN = 10;
// Closer to the end than this, the reader is taken to be following.
const END_PX = 48;

/** The lines in sight, of however many; follows the newest while the reader is at the end. */
export function TranscriptList({ lines, speakers, away, onDismissAway }: TranscriptListProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(true);
  const ids = useMemo(() => lines.map((line) => line.id), [lines]);
  const unseen = useUnseen(ids, following);
  const firstMissed = useMemo(() => ids.findIndex((id) => away.lines.has(id)), [ids, away]);

  const virtualizer = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ESTIMATED_LINE_PX,
    getItemKey: (index) => lines[index]?.id ?? index,
    overscan: OVERSCAN,
  });
  const heightPx = virtualizer.getTotalSize();

  const toEnd = useCallback(() => {
    const element = scroller.current;
    if (element !== null) element.scrollTop = element.scrollHeight;
  }, []);

  // Lines change height when they are measured and when interim words become final ones.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the height stands for all of that.
  useLayoutEffect(() => {
    if (following) toEnd();
  }, [following, toEnd, heightPx, lines]);

  useEffect(() => {
    const element = scroller.current;
    if (element === null || !following) return;
    const observer = new ResizeObserver(toEnd);
    observer.observe(element);
    return () => observer.disconnect();
  }, [following, toEnd]);

  const onScroll = useCallback(() => {
    const element = scroller.current;
    if (element === null) return;
    const leftPx = element.scrollHeight - element.scrollTop - element.clientHeight;
    setFollowing(leftPx <= END_PX);
  }, []);

  return (
    <>
      <section
        ref={scroller}
        onScroll={onScroll}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard.
        tabIndex={0}
        aria-label="Lines, the newest last"
        className="min-h-0 flex-1 overflow-y-auto overscroll-contain px-4 pb-4 [overflow-anchor:none] md:px-6"
      >
        <ol className="relative" style={{ height: heightPx }}>
          {virtualizer.getVirtualItems().map((item) => {
            const line = lines[item.index];
            if (line === undefined) return null;
            const before = lines[item.index - 1];
            const parted = item.index === firstMissed;
            return (
              <li
                key={item.key}
                ref={virtualizer.measureElement}
                data-index={item.index}
                aria-posinset={item.index + 1}
                aria-setsize={lines.length}
                className="absolute inset-x-0 top-0"
                style={{ transform: `translateY(${item.start}px)` }}
              >
                {parted && <AwayDivider quiet count={away.lines.size} onDismiss={onDismissAway} />}
                <TranscriptLine
                  line={line}
                  speakerNumber={line.speaker === null ? null : (speakers.get(line.speaker) ?? 0)}
                  continues={!parted && before?.speaker === line.speaker}
                />
              </li>
            );
          })}
        </ol>
      </section>
      {unseen > 0 && (
        <MoreButton className="bottom-4" onClick={() => setFollowing(true)}>
          <ArrowDown aria-hidden="true" className="size-4" />
          {unseen} new
        </MoreButton>
      )}
    </>
  );
}
