import type { ReactNode } from "react";

interface PageShellProps {
  readonly top?: ReactNode;
  readonly children?: ReactNode;
}

/** The frame of the facilitator's page: as high as the window, and only its panels scroll. */
export function PageShell({ top, children }: PageShellProps) {
  return (
    <div className="flex h-dvh flex-col overflow-hidden pr-[env(safe-area-inset-right)] pb-[env(safe-area-inset-bottom)] pl-[env(safe-area-inset-left)]">
      <header className="flex h-13 shrink-0 items-center gap-4 border-line border-b px-4 md:px-6">
        {top}
      </header>
      {children}
    </div>
  );
}
