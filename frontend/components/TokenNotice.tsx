import { KeyRound } from "lucide-react";

/** Says that access is not being renewed, while everything still works. */
export function TokenNotice({ text }: { readonly text: string | null }) {
  return (
    <div aria-live="polite" className="shrink-0">
      {text !== null && (
        <p
          data-testid="token-notice"
          className="flex items-center gap-3 border-warn border-b bg-warn-paper px-4 py-2 text-pretty md:px-6"
        >
          <KeyRound aria-hidden="true" className="size-5 shrink-0 text-warn" />
          <span className="min-w-0 [overflow-wrap:anywhere]">{text}</span>
        </p>
      )}
    </div>
  );
}
