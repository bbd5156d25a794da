import { History, type LucideIcon, TriangleAlert, Undo2, X } from "lucide-react";
import type { Notice } from "@/lib/relay/notice";

interface NoticesProps {
  readonly notices: readonly Notice[];
  readonly onDismiss: (key: string) => void;
}

/** What went wrong and isn't about the connection; stays until it is waved away. */
export function Notices({ notices, onDismiss }: NoticesProps) {
  return (
    <div aria-live="polite" className="shrink-0">
      {notices.map((notice) => (
        <NoticeRow key={notice.key} notice={notice} onDismiss={onDismiss} />
      ))}
    </div>
  );
}

const ICONS: Readonly<Record<Notice["kind"], LucideIcon>> = {
  error: TriangleAlert,
  unrecovered: History,
  undone: Undo2,
};

interface NoticeRowProps {
  readonly notice: Notice;
  readonly onDismiss: (key: string) => void;
}

function NoticeRow({ notice, onDismiss }: NoticeRowProps) {
  const isError = notice.kind === "error";
  const Icon = ICONS[notice.kind];
  return (
    <div
      data-testid="notice"
      data-kind={notice.kind}
      className={`flex items-center gap-3 border-line border-b py-1 pr-2 pl-4 md:pr-4 md:pl-6 ${isError ? "bg-bad-paper" : "bg-surface"}`}
    >
      <Icon
        aria-hidden="true"
        className={`size-5 shrink-0 ${isError ? "text-bad" : "text-ink-soft"}`}
      />
      {/* No padding: the next line would be seen in it, cut off. */}
      <p className="my-1.5 line-clamp-4 min-w-0 flex-1 break-words">
        {isError && <span className="sr-only">Error: </span>}
        {notice.text}
        {notice.count > 1 && <span className="text-ink-soft"> ({notice.count} times)</span>}
      </p>
      <button
        type="button"
        aria-label="Dismiss"
        onClick={() => onDismiss(notice.key)}
        className="grid size-10 shrink-0 place-items-center rounded-lg text-ink-soft hover:text-ink"
      >
        <X aria-hidden="true" className="size-5" />
      </button>
    </div>
  );
}
