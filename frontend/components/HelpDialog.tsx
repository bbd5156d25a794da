"use client";

import { X } from "lucide-react";
import { useEffect, useId, useRef } from "react";
import { SHORTCUTS, type Shortcut } from "@/lib/shortcuts";

interface HelpDialogProps {
  readonly open: boolean;
  /** Whether keys only move. */
  readonly readOnly?: boolean;
  readonly onClose: () => void;
}

const LOOKING_ON: ReadonlySet<Shortcut> = new Set(["next", "previous", "help"]);

/** Says which keys do what. */
export function HelpDialog({ open, readOnly = false, onClose }: HelpDialogProps) {
  const titleId = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open && dialog.current?.open === false) dialog.current.showModal();
    if (!open) dialog.current?.close();
  }, [open]);
  const shortcuts = readOnly ? SHORTCUTS.filter(({ does }) => LOOKING_ON.has(does)) : SHORTCUTS;
  return (
    // Escape closes a dialog by itself, and gives the focus back to where it was.
    <dialog
      ref={dialog}
      aria-labelledby={titleId}
      onClose={onClose}
      className="m-auto w-[min(26rem,calc(100vw-2rem))] rounded-2xl border border-line-strong bg-surface p-6 text-ink backdrop:bg-ink/30"
    >
      <div className="flex items-center">
        <h2 id={titleId} className="font-semibold text-lg">
          Keys
        </h2>
        <button
          type="button"
          aria-label="Close"
          onClick={onClose}
          className="-my-2 -mr-3 ml-auto grid size-11 place-items-center rounded-lg text-ink-soft hover:text-ink"
        >
          <X aria-hidden="true" className="size-5" />
        </button>
      </div>
      <dl className="mt-4 grid grid-cols-[auto_1fr] items-center gap-x-4 gap-y-2.5">
        {shortcuts.map(({ key, words }) => (
          <div key={key} className="contents">
            <dt>
              <kbd className="grid size-8 place-items-center rounded-md border border-line-strong border-b-2 font-sans font-medium text-sm uppercase">
                {key}
              </kbd>
            </dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
      {!readOnly && (
        <p className="mt-5 text-ink-soft text-sm">
          Keys act on the hint that has the focus, else on the newest one.
        </p>
      )}
    </dialog>
  );
}
