"use client";

import { SendHorizontal } from "lucide-react";
import { type FormEvent, type KeyboardEvent, memo, useId, useState } from "react";
import { MAX_STEER_CHARS, type Steer } from "@/lib/relay/steer";
import { SteerList } from "./SteerList";

interface SteerBarProps {
  /** What the agent was told, the newest last. */
  readonly steers: readonly Steer[];
  /** The relay's name for the reader. */
  readonly you: string | null;
  /** Whether the reader may tell it nothing. */
  readonly readOnly?: boolean;
  /** Tells the agent something; false when that can't be taken now. */
  readonly onSteer: (text: string) => boolean;
  readonly onResend: (id: string) => void;
  readonly onDiscard: (id: string) => void;
}

// From so many characters left on, the reader is told.
const COUNT_FROM = 200;

/** Where the reader tells the agent something, and sees what it was told. */
export const SteerBar = memo(function SteerBar({
  steers,
  you,
  readOnly = false,
  onSteer,
  onResend,
  onDiscard,
}: SteerBarProps) {
  const id = useId();
  const [text, setText] = useState("");
  const left = MAX_STEER_CHARS - text.length;
  const counted = left <= COUNT_FROM;
  const empty = text.trim() === "";

  const submit = () => {
    if (!empty && onSteer(text.trim())) setText("");
  };
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    submit();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // While an input method composes, Enter chooses a word.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    submit();
  };

  if (readOnly && steers.length === 0) return null;
  return (
    <div className="shrink-0 border-line border-t px-4 py-2 md:px-6 md:py-3">
      <div className="mx-auto max-w-4xl">
        <SteerList steers={steers} you={you} onResend={onResend} onDiscard={onDiscard} />
        <form
          hidden={readOnly}
          onSubmit={onSubmit}
          className="flex items-end rounded-xl [&[hidden]]:hidden border border-line-strong bg-surface focus-within:outline-2 focus-within:outline-accent"
        >
          <textarea
            value={text}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={onKeyDown}
            rows={1}
            maxLength={MAX_STEER_CHARS}
            enterKeyHint="send"
            aria-label="Tell the coach"
            aria-describedby={counted ? `${id}-left` : undefined}
            placeholder="Tell the coach …"
            className="field-sizing-content max-h-32 min-h-11 min-w-0 flex-1 resize-none bg-transparent px-3.5 py-2.5 outline-none placeholder:text-ink-faint"
          />
          {counted && (
            <p id={`${id}-left`} className="shrink-0 py-3 text-ink-soft text-sm tabular-nums">
              {left} left
            </p>
          )}
          <button
            type="submit"
            aria-label="Tell"
            title="Tell the coach (Enter)"
            disabled={empty}
            className="grid size-11 shrink-0 place-items-center rounded-xl text-accent disabled:text-ink-faint"
          >
            <SendHorizontal aria-hidden="true" className="size-5" />
          </button>
        </form>
      </div>
    </div>
  );
});
