import type { Hint } from "@/lib/relay/hint";

/** Reads the newest hint out to screen readers, once, when it is whole. */
export function HintAnnouncer({ hint }: { readonly hint: Hint | null }) {
  const whole = hint !== null && hint.status !== "streaming";
  const urgent = whole && hint.priority === "high";
  return (
    <p className="sr-only" aria-live="polite" aria-atomic="true">
      {whole && (urgent ? `Important: ${hint.text}` : hint.text)}
    </p>
  );
}
