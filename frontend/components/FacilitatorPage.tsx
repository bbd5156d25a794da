"use client";

import { useSearchParams } from "next/navigation";
import { isSessionId } from "@/lib/relay/session";
import { CenteredPage } from "./CenteredPage";
import { SessionForm } from "./SessionForm";
import { SessionView } from "./SessionView";

/** Opens the session that the address names, or asks for one. */
export function FacilitatorPage() {
  const query = useSearchParams();
  const session = query.get("session") ?? "";
  if (isSessionId(session)) {
    const replay = countOrNull(query.get("replay"));
    return <SessionView key={`${session} ${replay}`} session={session} replay={replay} />;
  }
  return (
    <CenteredPage title="Which session?">
      <p className="text-lg text-ink-soft">
        {session === ""
          ? "The address names no session. Ask for a link, or type the session’s name."
          : "The address names a session that can’t exist. Check the link, or type the name."}
      </p>
      <SessionForm initial={session.slice(0, 128)} />
    </CenteredPage>
  );
}

function countOrNull(text: string | null): string | null {
  return text !== null && /^[0-9]{1,6}$/.test(text) ? text : null;
}
