import type { Metadata } from "next";
import { Suspense } from "react";
import { FacilitatorPage } from "@/components/FacilitatorPage";
import { PageShell } from "@/components/PageShell";

export const metadata: Metadata = { title: "Coach Hints" };

export default function Page() {
  // The export knows no query: it holds the empty shell, and the browser fills it in.
  return (
    <Suspense fallback={<PageShell />}>
      <FacilitatorPage />
    </Suspense>
  );
}
