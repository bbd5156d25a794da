"use client";

import { Component, type ReactNode } from "react";
import { Button } from "./Button";

interface PanelBoundaryProps {
  readonly title: string;
  readonly children: ReactNode;
}

interface PanelBoundaryState {
  readonly failed: boolean;
}

/** Keeps a panel that fails from taking the others down, and lets the reader start it again. */
export class PanelBoundary extends Component<PanelBoundaryProps, PanelBoundaryState> {
  override state: PanelBoundaryState = { failed: false };

  static getDerivedStateFromError(): PanelBoundaryState {
    return { failed: true };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return (
      <section
        role="alert"
        aria-label={this.props.title}
        className="flex min-h-0 flex-col items-center justify-center gap-4 p-6 text-center"
      >
        <h2 className="font-semibold text-lg">{this.props.title}</h2>
        <p className="text-ink-soft">This panel failed. The rest of the page goes on.</p>
        <Button onClick={() => this.setState({ failed: false })}>Try again</Button>
      </section>
    );
  }
}
