import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';

import { GorillaPanel, type IPanelProps } from './panel';

/** The panel's content, which is loaded when the panel is first opened. */
export class PanelView extends ReactWidget {
  constructor(private readonly props: IPanelProps) {
    super();
    this.addClass('jp-Gorilla-view');
  }

  protected override render(): JSX.Element {
    const { model, status, settings } = this.props;
    return (
      <UseSignal signal={model.changed}>
        {() => (
          <UseSignal signal={status.changed}>
            {() => (
              <UseSignal signal={settings.changed}>
                {() => <GorillaPanel {...this.props} />}
              </UseSignal>
            )}
          </UseSignal>
        )}
      </UseSignal>
    );
  }
}
