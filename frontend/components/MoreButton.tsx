import type { ReactNode } from "react";

interface MoreButtonProps {
  /** Where it floats: a `top-…` or `bottom-…` class. */
  readonly className: string;
  readonly onClick: () => void;
  readonly children: ReactNode;
}

/** Floats over a panel whose newest entry is out of sight, and leads there. */
export function MoreButton({ className, onClick, children }: MoreButtonProps) {
  return (
    <button
      type="button"
      onClick={onClick}
      className={`absolute left-1/2 z-10 inline-flex min-h-10 -translate-x-1/2 items-center gap-1.5 rounded-full bg-accent px-4 font-medium text-accent-ink text-sm tabular-nums ${className}`}
    >
      {children}
    </button>
  );
}
