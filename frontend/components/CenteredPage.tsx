import type { ReactNode } from "react";

interface CenteredPageProps {
  readonly title: string;
  readonly children: ReactNode;
}

/** A page with little on it: the start page, and what there is to say when something is missing. */
export function CenteredPage({ title, children }: CenteredPageProps) {
  return (
    <main className="mx-auto flex min-h-dvh max-w-lg flex-col items-start justify-center gap-6 px-6 py-12">
      <h1 className="font-semibold text-4xl tracking-tight">{title}</h1>
      {children}
    </main>
  );
}
