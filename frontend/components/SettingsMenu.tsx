"use client";

import { Settings2 } from "lucide-react";
import { useId } from "react";
import { usePopover } from "@/hooks/usePopover";

interface SettingsMenuProps {
  readonly clearOnReconnect: boolean;
  readonly onClearOnReconnect: (value: boolean) => void;
}

/** The few things that a reader can choose. */
export function SettingsMenu({ clearOnReconnect, onClearOnReconnect }: SettingsMenuProps) {
  const id = useId();
  const { open, toggle, root, button } = usePopover();
  return (
    <div ref={root} className="relative">
      <button
        ref={button}
        type="button"
        aria-label="Settings"
        aria-expanded={open}
        aria-controls={id}
        onClick={toggle}
        className="-mr-2 grid size-11 place-items-center rounded-lg text-ink-soft hover:text-ink"
      >
        <Settings2 aria-hidden="true" className="size-5" />
      </button>
      <div
        id={id}
        hidden={!open}
        className="absolute top-full right-0 z-20 w-72 rounded-xl border border-line-strong bg-surface p-4"
      >
        <label className="flex items-start gap-3">
          <input
            type="checkbox"
            checked={clearOnReconnect}
            onChange={(event) => onClearOnReconnect(event.target.checked)}
            className="mt-0.5 size-5 shrink-0 accent-(--accent)"
          />
          <span>
            <span className="block font-medium">Clear old hints when reconnecting</span>
            <span className="mt-1 block text-ink-soft text-sm">
              Pinned hints stay, and so does one that is still being written.
            </span>
          </span>
        </label>
      </div>
    </div>
  );
}
