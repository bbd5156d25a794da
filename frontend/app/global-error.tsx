"use client";

import { Button } from "@/components/Button";
import { CenteredPage } from "@/components/CenteredPage";
import "./globals.css";

/** Takes the place of the root layout when that fails itself. */
export default function GlobalError({ reset }: { readonly reset: () => void }) {
  return (
    <html lang="en">
      <body>
        <title>Hint Relay</title>
        <CenteredPage title="The page stumbled">
          <p className="text-lg text-ink-soft">
            Something failed that should not have. The session goes on; the page can start over.
          </p>
          <Button onClick={reset}>Try again</Button>
        </CenteredPage>
      </body>
    </html>
  );
}
