import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, type ISessionContext, showDialog } from '@jupyterlab/apputils';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { IConsoleTracker } from '@jupyterlab/console';
import type { IEditorTracker } from '@jupyterlab/fileeditor';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { warn } from './notify';
import { indentation } from './sentence';
import type { Settings } from './settings';
import type { IInserter, Place } from './tokens';

/** A new code cell, as notebooks write it: not run, not trusted. */
export function codeCell(source: string) {
  return { cell_type: 'code' as const, source, metadata: {}, outputs: [], execution_count: null };
}

/** What the person has open to insert into. */
type Target =
  | { kind: 'notebook'; widget: NotebookPanel }
  | { kind: 'console'; widget: Widget; editor: CodeEditor.IEditor; context: ISessionContext }
  | { kind: 'file'; widget: Widget; editor: CodeEditor.IEditor };

/** Inserts through the shared models, each time as one step to undo. */
export class Inserter implements IInserter {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly settings: Settings,
    private readonly trans: TranslationBundle,
    private readonly notebooks: INotebookTracker | null,
    private readonly consoles: IConsoleTracker | null,
    private readonly editors: IEditorTracker | null
  ) {}

  async insert(code: string, place: Place = this.settings.get('place')): Promise<boolean> {
    const target = this.target() ?? (await this.newNotebook());
    if (target === null || !(await this.takesPython(target))) {
      return false;
    }
    if (target.widget !== this.app.shell.currentWidget) {
      this.app.shell.activateById(target.widget.id);
    }
    if (target.kind === 'notebook') {
      return this.intoNotebook(target.widget, code, place);
    }
    if (target.kind === 'console' && place === 'replace') {
      replaceRange(target.editor, 0, target.editor.model.sharedModel.getSource().length, code);
    } else if (target.kind === 'file' && place === 'below') {
      intoNextLine(target.editor, code);
    } else {
      intoEditor(target.editor, code);
    }
    return true;
  }

  /** Insert a cell below that of this index, or fill that cell where it is empty code. */
  async below(panel: NotebookPanel, index: number, code: string): Promise<boolean> {
    const notebook = panel.content.model!.sharedModel;
    const cell = notebook.cells[index];
    return asOneStep(notebook, () => {
      if (cell?.cell_type === 'code' && !cell.source.trim()) {
        return this.intoCell(panel, index, code);
      }
      notebook.insertCell(index + 1, codeCell(code));
      return this.editCell(panel, index + 1);
    });
  }

  /** Put a cell in the place of that of this index. */
  async replace(panel: NotebookPanel, index: number, code: string): Promise<boolean> {
    const notebook = panel.content.model!.sharedModel;
    const metadata = notebook.cells[index]?.metadata;
    if (metadata?.editable === false || metadata?.deletable === false) {
      warn(this.trans.__('This cell is protected: it cannot be replaced.'));
      return false;
    }
    return asOneStep(notebook, () => {
      notebook.transact(() => {
        notebook.deleteCellRange(index, index + 1);
        notebook.insertCell(index, codeCell(code));
      });
      return this.editCell(panel, index);
    });
  }

  private async intoNotebook(panel: NotebookPanel, code: string, place: Place): Promise<boolean> {
    const { activeCell: cell, activeCellIndex: index } = panel.content;
    if (place === 'replace' && cell !== null) {
      return this.replace(panel, index, code);
    }
    const editable = cell?.model.type === 'code' && cell.model.getMetadata('editable') !== false;
    if (place === 'cursor' && editable && cell.editor) {
      panel.content.mode = 'edit';
      intoEditor(cell.editor, code);
      return true;
    }
    return this.below(panel, index, code);
  }

  private async intoCell(panel: NotebookPanel, index: number, code: string): Promise<boolean> {
    const cell = panel.content.model!.sharedModel.cells[index];
    asOneStep(cell, () => cell.setSource(code));
    return this.editCell(panel, index);
  }

  private async editCell(panel: NotebookPanel, index: number): Promise<boolean> {
    const notebook = panel.content;
    notebook.activeCellIndex = index;
    notebook.deselectAll();
    await notebook.scrollToItem(index);
    const cell = notebook.widgets[index];
    await cell.ready;
    notebook.mode = 'edit';
    const end = cell.model.sharedModel.getSource().length;
    cell.editor?.setCursorPosition(cell.editor.getPositionAt(end)!);
    cell.editor?.focus();
    return true;
  }

  private target(): Target | null {
    const current = this.app.shell.currentWidget;
    const found = current && this.asTarget(current);
    if (found) {
      return found;
    }
    // Beside a launcher or a plot there may be an editor in the other half of the screen.
    const seen = [this.notebooks, this.consoles, this.editors]
      .map(tracker => tracker?.currentWidget)
      .find(widget => widget?.isVisible);
    return seen ? this.asTarget(seen) : null;
  }

  private asTarget(widget: Widget): Target | null {
    if (this.notebooks?.has(widget)) {
      return { kind: 'notebook', widget: widget as NotebookPanel };
    }
    const console = this.consoles?.find(panel => panel === widget)?.console;
    if (console?.promptCell?.editor) {
      const { promptCell, sessionContext } = console;
      return { kind: 'console', widget, editor: promptCell.editor!, context: sessionContext };
    }
    const file = this.editors?.find(panel => panel === widget);
    return file ? { kind: 'file', widget, editor: file.content.editor } : null;
  }

  private async newNotebook(): Promise<Target | null> {
    const { trans } = this;
    const answer = await showDialog({
      title: trans.__('Nowhere to insert'),
      body: trans.__('No notebook, console or Python file is open. Open a new notebook for it?'),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label: trans.__('New notebook') })
      ]
    });
    if (!answer.button.accept) {
      return null;
    }
    const kernelName = this.pythonKernel();
    const panel = (await this.app.commands.execute('notebook:create-new', {
      ...(kernelName && { kernelName })
    })) as NotebookPanel | undefined;
    if (!panel || !this.notebooks?.has(panel)) {
      return null; // Notebook 7 opens it in a page of its own.
    }
    await panel.revealed;
    return { kind: 'notebook', widget: panel };
  }

  private pythonKernel(): string | undefined {
    const specs = this.app.serviceManager.kernelspecs.specs;
    const names = [specs?.default ?? '', ...Object.keys(specs?.kernelspecs ?? {})];
    return names.find(name => isPython(specs?.kernelspecs[name]?.language ?? ''));
  }

  private async takesPython(target: Target): Promise<boolean> {
    const language = await this.language(target);
    if (!language || isPython(language)) {
      return true;
    }
    const { trans } = this;
    const answer = await showDialog({
      title: trans.__('This is Python'),
      body:
        target.kind === 'file'
          ? trans.__('The open file is not Python (%1). Insert it all the same?', language)
          : trans.__('The kernel there runs %1, not Python. Insert it all the same?', language),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label: trans.__('Insert') })
      ]
    });
    return answer.button.accept;
  }

  private async language(target: Target): Promise<string> {
    if (target.kind === 'file') {
      return target.editor.model.mimeType;
    }
    const context =
      target.kind === 'notebook' ? target.widget.sessionContext : target.context;
    const spec = await context.session?.kernel?.spec;
    if (spec) {
      return spec.language;
    }
    if (target.kind === 'console') {
      return '';
    }
    const { language_info, kernelspec } = target.widget.content.model!.sharedModel.metadata;
    return language_info?.name ?? String(kernelspec?.language ?? '');
  }
}

function isPython(language: string): boolean {
  return /python/i.test(language);
}

/** Keeps what `change` does apart from what was typed before and is typed after. */
function asOneStep<T>(model: object, change: () => T): T {
  const manager = (model as { undoManager?: { stopCapturing(): void } | null }).undoManager;
  manager?.stopCapturing();
  const result = change();
  manager?.stopCapturing();
  return result;
}

function replaceRange(
  editor: CodeEditor.IEditor,
  start: number,
  end: number,
  text: string,
  after = ''
): void {
  const model = editor.model.sharedModel;
  asOneStep(model, () => model.updateSource(start, end, text + after));
  editor.setCursorPosition(editor.getPositionAt(start + text.length)!);
  editor.focus();
}

function intoEditor(editor: CodeEditor.IEditor, code: string): void {
  const { start, end } = editor.getSelection();
  const offsets = [editor.getOffsetAt(start), editor.getOffsetAt(end)].sort((a, b) => a - b);
  const source = editor.model.sharedModel.getSource();
  const indent = indentation(source, offsets[0]);
  const block = code.replaceAll('\n', `\n${indent}`);
  const [before] = source.slice(0, offsets[0]).split('\n').slice(-1);
  const [after] = source.slice(offsets[1]).split('\n', 1);
  // Several statements share no line with what is there already.
  const newline = code.includes('\n') ? `\n${indent}` : '';
  const text = (before.trim() && newline) + block;
  replaceRange(editor, offsets[0], offsets[1], text, after.trim() && newline);
}

function intoNextLine(editor: CodeEditor.IEditor, code: string): void {
  const source = editor.model.sharedModel.getSource();
  const position = editor.getOffsetAt(editor.getCursorPosition());
  const newline = source.indexOf('\n', position);
  const end = newline < 0 ? source.length : newline;
  replaceRange(editor, end, end, `\n${code}`);
}
