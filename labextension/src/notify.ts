import { Notification } from '@jupyterlab/apputils';

/** How long a sentence is shown, in milliseconds; after that, the status bar keeps it. */
const DURATION = 8_000;

/** Tell the person why what they asked for was not done. */
export function warn(sentence: string): void {
  Notification.warning(sentence, { autoClose: DURATION });
}
