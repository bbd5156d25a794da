"use client";

import { useMemo, useState } from "react";
import { useSession } from "@/hooks/useSession";
import { useStoredFlag } from "@/hooks/useStoredFlag";
import { explainConnection, explainProblem } from "@/lib/connection-words";
import { ConnectionBanner } from "./ConnectionBanner";
import { HintsPanel } from "./HintsPanel";
import { Notices } from "./Notices";
import { PageShell } from "./PageShell";
import { PanelBoundary } from "./PanelBoundary";
import { SettingsMenu } from "./SettingsMenu";
import { TopBar } from "./TopBar";
import { TranscriptPanel } from "./TranscriptPanel";

interface SessionViewProps {
  readonly session: string;
  readonly replay?: string | null;
}

/** One session, live: hints in front, the transcript beside or below them. */
export function SessionView({ session, replay = null }: SessionViewProps) {
  const [clearOnReconnect, setClearOnReconnect] = useStoredFlag("hint-relay:clear-on-reconnect");
  const [transcriptOpen, setTranscriptOpen] = useState(true);
  const { state, connection, address, dismissNotice, dismissAway } = useSession(session, {
    replay,
    clearOnReconnect,
  });
  const hints = useMemo(() => [...state.hints.values()], [state.hints]);
  const lines = useMemo(() => [...state.lines.values()], [state.lines]);

  // What the relay said before it closed is part of the explanation.
  const said = connection.problem?.detail;
  const notices = state.notices.filter((notice) => notice.text !== said);

  const badAddress = address !== null && !address.ok ? address.reason : null;
  const status = badAddress === null ? connection.status : "closed";
  const explanation =
    badAddress === null
      ? explainConnection(connection, address?.ok === true && address.upgraded)
      : explainProblem({ kind: "bad_address", detail: badAddress });

  return (
    <PageShell
      top={
        <TopBar session={session} presence={state.presence}>
          <SettingsMenu
            clearOnReconnect={clearOnReconnect}
            onClearOnReconnect={setClearOnReconnect}
          />
        </TopBar>
      }
    >
      {explanation !== null && (
        <ConnectionBanner
          explanation={explanation}
          status={status}
          retryAtMs={connection.retryAtMs}
          onRetry={connection.retryNow}
        />
      )}
      <Notices notices={notices} onDismiss={dismissNotice} />
      <main
        className={`grid min-h-0 flex-1 grid-cols-1 md:grid-cols-[minmax(0,3fr)_minmax(0,2fr)] md:grid-rows-1 ${
          transcriptOpen
            ? "grid-rows-[minmax(0,3fr)_minmax(0,2fr)]"
            : "grid-rows-[minmax(0,1fr)_auto]"
        }`}
      >
        <PanelBoundary title="Coach Hints">
          <HintsPanel hints={hints} status={status} away={state.away} onDismissAway={dismissAway} />
        </PanelBoundary>
        <PanelBoundary title="Transcript">
          <TranscriptPanel
            lines={lines}
            speakers={state.speakers}
            open={transcriptOpen}
            onToggle={setTranscriptOpen}
            away={state.away}
            onDismissAway={dismissAway}
          />
        </PanelBoundary>
      </main>
    </PageShell>
  );
}
