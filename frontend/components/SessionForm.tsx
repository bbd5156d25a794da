"use client";

import { useRouter } from "next/navigation";
import { type FormEvent, useId, useState } from "react";
import { isSessionId, SESSION_ID_RULE } from "@/lib/relay/session";
import { Button } from "./Button";

/** Asks for a session's name and opens it. Works without scripts too: it is a plain GET form. */
export function SessionForm({ initial = "" }: { readonly initial?: string }) {
  const id = useId();
  const router = useRouter();
  const [refused, setRefused] = useState(false);

  const open = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const session = String(new FormData(event.currentTarget).get("session")).trim();
    setRefused(!isSessionId(session));
    if (isSessionId(session)) {
      router.push(`/session/facilitator?session=${encodeURIComponent(session)}`);
    }
  };

  return (
    <form
      action="/session/facilitator"
      method="get"
      noValidate
      onSubmit={open}
      className="w-full space-y-2"
    >
      <label htmlFor={id} className="block font-medium">
        Session name
      </label>
      <div className="flex gap-2">
        <input
          id={id}
          name="session"
          defaultValue={initial}
          required
          maxLength={128}
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          aria-invalid={refused}
          aria-describedby={`${id}-rule`}
          className="min-h-11 min-w-0 flex-1 rounded-lg border border-line-strong bg-surface px-3 text-lg aria-invalid:border-bad"
        />
        <Button type="submit">Open</Button>
      </div>
      <p
        id={`${id}-rule`}
        role={refused ? "alert" : undefined}
        className={refused ? "text-bad text-sm" : "text-ink-faint text-sm"}
      >
        {refused ? `That is not a session name. Use ${SESSION_ID_RULE}` : `Use ${SESSION_ID_RULE}`}
      </p>
    </form>
  );
}
