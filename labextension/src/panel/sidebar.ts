import { Panel, type Widget } from '@lumino/widgets';

import { gorillaIcon } from '../icon';
import type { IPanelProps } from './panel';

/** The panel's place in the sidebar; its content is loaded when it is first shown. */
export class Sidebar extends Panel {
  private content: Promise<Widget> | null = null;

  constructor(private readonly props: IPanelProps) {
    super();
    const { trans } = props.services;
    this.id = 'gorilla-jupyter';
    this.addClass('jp-Gorilla');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Gorilla'));
    this.title.icon = gorillaIcon;
    this.title.caption = trans.__('Gorilla: from sentences to API calls');
  }

  protected override onBeforeShow(): void {
    void this.load();
  }

  protected override onActivateRequest(): void {
    void this.load().then(() => {
      const { shown } = this.props.model;
      const place = shown ? '[data-gorilla-back]' : '[data-gorilla-box]';
      this.node.querySelector<HTMLElement>(place)?.focus();
    });
  }

  private load(): Promise<Widget> {
    this.content ??= import('./view').then(async ({ PanelView }) => {
      const view = new PanelView(this.props);
      this.addWidget(view);
      await view.renderPromise;
      return view;
    });
    return this.content;
  }
}
