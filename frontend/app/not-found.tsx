import type { Metadata } from "next";
import Link from "next/link";
import { CenteredPage } from "@/components/CenteredPage";

export const metadata: Metadata = { title: "Not found" };

export default function NotFound() {
  return (
    <CenteredPage title="There is no such page">
      <p className="text-lg text-ink-soft">
        The address may be mistyped, or the link may be an old one.
      </p>
      <Link href="/" className="font-medium text-accent underline underline-offset-4">
        Go to the start page
      </Link>
    </CenteredPage>
  );
}
