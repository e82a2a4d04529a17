import {
  type CompletionHandler,
  type IInlineCompletionContext,
  type IInlineCompletionList,
  type IInlineCompletionProvider,
  InlineCompletionTriggerKind
} from '@jupyterlab/completer';
import type { TranslationBundle } from '@jupyterlab/translation';

import { gorillaIcon } from './icon';
import type { IClient, IOptions } from './request';
import { indentation, sentenceAtCursor } from './sentence';
import type { Settings } from './settings';

/** How long nothing must be typed before the server is asked, in milliseconds. */
const TYPING_PAUSE = 400;

const NOTHING: IInlineCompletionList = { items: [] };

/** Offers code for comments such as `# gorilla: load a TTS model` as ghost text. */
export class GorillaInlineCompleter implements IInlineCompletionProvider {
  readonly identifier = 'gorilla-jupyter:inline-completer';
  readonly name: string;
  readonly icon = gorillaIcon;
  private running = new AbortController();

  constructor(
    private readonly client: Pick<IClient, 'ask'>,
    private readonly settings: Settings,
    private readonly options: () => IOptions,
    trans: TranslationBundle
  ) {
    this.name = trans.__('Gorilla');
  }

  async fetch(
    { text, offset, mimeType }: CompletionHandler.IRequest,
    { triggerKind }: IInlineCompletionContext
  ): Promise<IInlineCompletionList> {
    this.running.abort();
    const { signal } = (this.running = new AbortController());
    const sentence = sentenceAtCursor(text, offset);
    const isPython = mimeType === undefined || mimeType.includes('python');
    if (sentence === null || !isPython || !this.settings.get('inlineCompletion')) {
      return NOTHING;
    }
    if (triggerKind === InlineCompletionTriggerKind.Automatic) {
      await new Promise(resolve => setTimeout(resolve, TYPING_PAUSE));
    }
    if (signal.aborted) {
      return NOTHING;
    }
    const newline = `\n${indentation(text, offset)}`;
    const codes = await this.codes(sentence, signal);
    return {
      items: codes.map(code => ({ insertText: newline + code.replaceAll('\n', newline) }))
    };
  }

  private async codes(sentence: string, signal: AbortSignal): Promise<string[]> {
    const request = { instruction: sentence, ...this.options() };
    try {
      for await (const event of this.client.ask(request, signal)) {
        if (event.event === 'answer') {
          return event.candidates.map(({ code }) => code);
        }
      }
    } catch {
      // Ghost text that does not come needs no message: the panel has one.
    }
    return [];
  }
}
