import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IShown } from '../panel/model';

/** What the components need of the application. */
export interface IServices {
  trans: TranslationBundle;
  rendermime: IRenderMimeRegistry;
  /** Insert code where the person is at. */
  insert(code: string): Promise<unknown>;
  /** Insert the line that makes documents of what is installed. */
  indexEnvironment(): void;
  /** The cell that the call of a document becomes. */
  cell(shown: IShown): Promise<string>;
  /** Open a document in the panel. */
  showDocument(shown: IShown): void;
  /** Return to what the person was at before the panel. */
  leave(): void;
}
