import type { IStatusBar } from '@jupyterlab/statusbar';
import { TextItem } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';

import { gorillaIcon } from './icon';
import type { StatusModel } from './status';

/** Show model, size of the index and progress in the status bar; a click opens the panel. */
export function addStatusItem(
  bar: IStatusBar,
  status: StatusModel,
  open: () => void,
  trans: TranslationBundle
): void {
  const item = ReactWidget.create(
    <UseSignal signal={status.changed}>
      {() => (
        <button className="jp-Gorilla-status" title={trans.__('Open Gorilla')} onClick={open}>
          <gorillaIcon.react tag="span" stylesheet="statusBar" />
          <TextItem source={status.sentence(trans)} />
        </button>
      )}
    </UseSignal>
  );
  bar.registerStatusItem('gorilla-jupyter:status', { item, align: 'right', rank: 90 });
}
