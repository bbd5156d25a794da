"use client";

import { Button } from "@/components/Button";
import { CenteredPage } from "@/components/CenteredPage";

export default function PageError({ reset }: { readonly reset: () => void }) {
  return (
    <CenteredPage title="The page stumbled">
      <p className="text-lg text-ink-soft">
        Something failed that should not have. The session goes on; the page can start over.
      </p>
      <Button onClick={reset}>Try again</Button>
    </CenteredPage>
  );
}
