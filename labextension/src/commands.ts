import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { IConsoleTracker } from '@jupyterlab/console';
import type { IEditorTracker } from '@jupyterlab/fileeditor';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import { gorillaIcon } from './icon';
import type { Inserter } from './insert';
import { warn } from './notify';
import type { PanelModel } from './panel/model';
import type { Sidebar } from './panel/sidebar';
import type { IClient } from './request';
import { importedModules, sentenceOfCell } from './sentence';
import type { Settings } from './settings';
import type { StatusModel } from './status';

export namespace CommandIDs {
  export const open = 'gorilla:open';
  export const turnIntoCode = 'gorilla:turn-into-code';
  export const askSelection = 'gorilla:ask-selection';
  export const index = 'gorilla:index';
  export const indexEnvironment = 'gorilla:index-environment';
}

interface IParts {
  app: JupyterFrontEnd;
  client: IClient;
  inserter: Inserter;
  model: PanelModel;
  settings: Settings;
  sidebar: Sidebar;
  status: StatusModel;
  trans: TranslationBundle;
  notebooks: INotebookTracker | null;
  consoles: IConsoleTracker | null;
  editors: IEditorTracker | null;
  palette: ICommandPalette | null;
}

/** Everything that can be done from palette, toolbar, menus and keyboard. */
export function addCommands(parts: IParts): void {
  const { app, client, inserter, model, settings, sidebar, status, trans } = parts;
  const { notebooks, consoles, editors, palette } = parts;
  const { commands, shell } = app;

  const open = () => shell.activateById(sidebar.id);

  const editor = (): CodeEditor.IEditor | null => {
    const current = shell.currentWidget;
    if (current !== null && notebooks?.has(current)) {
      return notebooks.activeCell?.editor ?? null;
    }
    const console = consoles?.find(panel => panel === current)?.console;
    const file = editors?.find(panel => panel === current)?.content;
    return console?.promptCell?.editor ?? file?.editor ?? null;
  };

  commands.addCommand(CommandIDs.open, {
    label: trans.__('Open Gorilla'),
    caption: trans.__('Search the API documentation, or turn a sentence into code'),
    icon: gorillaIcon,
    execute: open
  });

  commands.addCommand(CommandIDs.turnIntoCode, {
    label: trans.__('Turn into Code'),
    caption: trans.__('Turn the sentence in this cell into code'),
    icon: gorillaIcon,
    isEnabled: () => notebooks?.activeCell != null,
    execute: async () => {
      const panel = notebooks!.currentWidget!;
      const cell = notebooks!.activeCell!;
      const sentence = sentenceOfCell(cell.model.sharedModel.getSource());
      if (!sentence) {
        warn(trans.__('This cell is empty: write what you want in a sentence.'));
        return;
      }
      open();
      const answer = await model.ask(sentence);
      // Meanwhile cells may have moved, or this one may be gone.
      const index = panel.content.widgets.indexOf(cell);
      const code = answer?.candidates[0]?.code;
      if (code === undefined || index < 0) {
        return;
      }
      const unchanged = sentenceOfCell(cell.model.sharedModel.getSource()) === sentence;
      if (settings.get('place') === 'replace' && unchanged) {
        await inserter.replace(panel, index, code);
      } else {
        await inserter.below(panel, index, code);
      }
    }
  });

  commands.addCommand(CommandIDs.askSelection, {
    label: trans.__('Turn the Selected Text into Code'),
    caption: trans.__('Ask for code that does what the selected text, or this line, says'),
    icon: gorillaIcon,
    isEnabled: () => editor() !== null,
    execute: async () => {
      const sentence = sentenceOfCell(selectedText(editor()!));
      open();
      if (sentence) {
        await model.ask(sentence);
      }
    }
  });

  commands.addCommand(CommandIDs.index, {
    label: trans.__('Bring the Documentation Index up to Date'),
    execute: async () => {
      try {
        await client.index();
      } catch (error) {
        warn((error as Error).message);
      }
      status.refresh();
    }
  });

  commands.addCommand(CommandIDs.indexEnvironment, {
    label: trans.__('Read What Is Installed'),
    caption: trans.__('Insert the line that makes documents of the packages of this kernel'),
    icon: gorillaIcon,
    execute: async () => {
      const cells = notebooks?.currentWidget?.content.model?.sharedModel.cells ?? [];
      const code = cells.filter(cell => cell.cell_type === 'code');
      const names = importedModules(code.map(cell => cell.getSource()));
      const line = `%gorilla_index ${names.join(' ') || 'python'}`;
      await inserter.insert(`%load_ext gorilla_jupyter\n${line}`);
    }
  });

  for (const command of Object.values(CommandIDs)) {
    palette?.addItem({ command, category: trans.__('Gorilla') });
  }
}

function selectedText(editor: CodeEditor.IEditor): string {
  const { start, end } = editor.getSelection();
  const offsets = [editor.getOffsetAt(start), editor.getOffsetAt(end)].sort((a, b) => a - b);
  const text = editor.model.sharedModel.getSource().slice(...offsets);
  return text || (editor.getLine(editor.getCursorPosition().line) ?? '');
}
