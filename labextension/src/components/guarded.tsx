import { Component, type ReactNode } from 'react';

interface IGuardedProps {
  otherwise: ReactNode;
  children: ReactNode;
}

/** A notebook from elsewhere may hold anything under our MIME type. */
export class Guarded extends Component<IGuardedProps, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    return this.state.failed ? this.props.otherwise : this.props.children;
  }
}
