import type { ComponentProps } from "react";

/** The one kind of button with words on it; large enough for a thumb. */
export function Button({ className = "", type = "button", ...props }: ComponentProps<"button">) {
  return (
    <button
      type={type}
      className={`inline-flex min-h-11 shrink-0 items-center justify-center gap-2 rounded-lg bg-accent px-4 font-medium text-accent-ink hover:opacity-90 ${className}`}
      {...props}
    />
  );
}
