import { CenteredPage } from "@/components/CenteredPage";
import { SessionForm } from "@/components/SessionForm";

export default function StartPage() {
  return (
    <CenteredPage title="Hint Relay">
      <p className="text-lg text-ink-soft">
        Follow a live session as it happens: short hints from its agent, beside the words they refer
        to.
      </p>
      <SessionForm />
    </CenteredPage>
  );
}
