import Link from "next/link";
import type { ReactNode } from "react";
import type { Presence } from "@/lib/relay/state";
import { Watching } from "./Watching";

interface TopBarProps {
  readonly session: string;
  /** Null while it isn't known. */
  readonly presence: Presence | null;
  /** The relay's name for the reader. */
  readonly you: string | null;
  readonly children?: ReactNode;
}

/** Says which session this is, and who else is watching. */
export function TopBar({ session, presence, you, children }: TopBarProps) {
  return (
    <>
      <Link href="/" className="hidden shrink-0 rounded text-ink-faint text-sm sm:block">
        Hint Relay
      </Link>
      <h1 className="min-w-0 truncate font-semibold" title={session}>
        <span className="sr-only">Session </span>
        {session}
      </h1>
      <div className="ml-auto flex shrink-0 items-center gap-1">
        {presence !== null && presence.facilitators > 0 && (
          <Watching presence={presence} you={you} />
        )}
        {children}
      </div>
    </>
  );
}
