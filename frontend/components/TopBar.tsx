import { Users } from "lucide-react";
import Link from "next/link";
import type { ReactNode } from "react";
import type { Presence } from "@/lib/relay/state";

interface TopBarProps {
  readonly session: string;
  readonly presence: Presence | null;
  readonly children?: ReactNode;
}

/** Says which session this is, and who else is watching. */
export function TopBar({ session, presence, children }: TopBarProps) {
  return (
    <>
      <Link href="/" className="hidden shrink-0 rounded text-ink-faint text-sm sm:block">
        Hint Relay
      </Link>
      <h1 className="min-w-0 truncate font-semibold" title={session}>
        <span className="sr-only">Session </span>
        {session}
      </h1>
      <div className="ml-auto flex shrink-0 items-center gap-3">
        {presence !== null && presence.facilitators > 0 && <Watching presence={presence} />}
        {children}
      </div>
    </>
  );
}

function Watching({ presence }: { readonly presence: Presence }) {
  return (
    <p
      className="flex items-center gap-1.5 text-ink-soft text-sm tabular-nums"
      title={presence.who.join(", ")}
    >
      <Users aria-hidden="true" className="size-4" />
      {presence.facilitators} <span className="max-sm:sr-only">watching</span>
    </p>
  );
}
