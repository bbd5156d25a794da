"use client";

import { Keyboard } from "lucide-react";
import { useMemo, useState } from "react";
import { useSession } from "@/hooks/useSession";
import { useShortcuts } from "@/hooks/useShortcuts";
import { useStoredFlag } from "@/hooks/useStoredFlag";
import { explainConnection, explainProblem, explainTokenTrouble } from "@/lib/connection-words";
import { ConnectionBanner } from "./ConnectionBanner";
import { HelpDialog } from "./HelpDialog";
import { HintsPanel } from "./HintsPanel";
import { Notices } from "./Notices";
import { PageShell } from "./PageShell";
import { PanelBoundary } from "./PanelBoundary";
import { SettingsMenu } from "./SettingsMenu";
import { SteerBar } from "./SteerBar";
import { TokenNotice } from "./TokenNotice";
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
  const [helpOpen, setHelpOpen] = useState(false);
  const { state, steers, connection, address, readOnly, actions, ...shown } = useSession(session, {
    replay,
    clearOnReconnect,
  });
  const hints = useMemo(() => [...shown.hints.values()], [shown.hints]);
  const lines = useMemo(() => [...state.lines.values()], [state.lines]);

  useShortcuts((shortcut) => {
    if (shortcut === "help") setHelpOpen(true);
    return shortcut === "help";
  });

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
        <TopBar
          session={session}
          presence={connection.isConnected ? state.presence : null}
          you={state.you}
        >
          <button
            type="button"
            aria-label="Keys"
            title="Keys (?)"
            onClick={() => setHelpOpen(true)}
            className="grid size-11 place-items-center rounded-lg text-ink-soft hover:text-ink pointer-coarse:hidden"
          >
            <Keyboard aria-hidden="true" className="size-5" />
          </button>
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
      <TokenNotice text={explainTokenTrouble(connection)} />
      <Notices notices={notices} onDismiss={actions.dismissNotice} />
      <main
        className={`grid min-h-0 flex-1 grid-cols-1 md:grid-cols-[minmax(0,3fr)_minmax(0,2fr)] md:grid-rows-1 ${
          transcriptOpen
            ? "grid-rows-[minmax(0,2fr)_minmax(0,1fr)]"
            : "grid-rows-[minmax(0,1fr)_auto]"
        }`}
      >
        <PanelBoundary title="Coach Hints">
          <div className="flex min-h-0 min-w-0 flex-col">
            <HintsPanel
              hints={hints}
              status={status}
              away={state.away}
              onDismissAway={actions.dismissAway}
              you={state.you}
              readOnly={readOnly}
              fallback={connection.fallback}
              onRetry={connection.retryNow}
              onToggle={actions.toggle}
              onStop={actions.stop}
              onSight={actions.sight}
            />
            <SteerBar
              steers={steers}
              you={state.you}
              readOnly={readOnly}
              onSteer={actions.steer}
              onResend={actions.resend}
              onDiscard={actions.discard}
            />
          </div>
        </PanelBoundary>
        <PanelBoundary title="Transcript">
          <TranscriptPanel
            lines={lines}
            speakers={state.speakers}
            open={transcriptOpen}
            onToggle={setTranscriptOpen}
            away={state.away}
            onDismissAway={actions.dismissAway}
          />
        </PanelBoundary>
      </main>
      <HelpDialog open={helpOpen} readOnly={readOnly} onClose={() => setHelpOpen(false)} />
    </PageShell>
  );
}
