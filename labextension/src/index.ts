import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ICompletionProviderManager } from '@jupyterlab/completer';
import { IConsoleTracker } from '@jupyterlab/console';
import { PathExt } from '@jupyterlab/coreutils';
import { IEditorTracker } from '@jupyterlab/fileeditor';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addAnswerRenderer } from './answer-renderer';
import { addCommands, CommandIDs } from './commands';
import type { IServices } from './components/services';
import { GorillaInlineCompleter } from './inline-completer';
import { Inserter } from './insert';
import { PanelModel } from './panel/model';
import { Sidebar } from './panel/sidebar';
import { Client, UnreachableError } from './request';
import { Settings } from './settings';
import { addStatusItem } from './status-item';
import { StatusModel } from './status';
import { IInserter } from './tokens';

export * from './tokens';

const PLUGIN_ID = 'gorilla-jupyter:plugin';

const plugin: JupyterFrontEndPlugin<IInserter> = {
  id: PLUGIN_ID,
  description: 'From sentences to documented API calls: a sidebar, and inserting what it finds.',
  autoStart: true,
  provides: IInserter,
  requires: [IRenderMimeRegistry],
  optional: [
    ITranslator,
    ISettingRegistry,
    INotebookTracker,
    IConsoleTracker,
    IEditorTracker,
    ICommandPalette,
    ICompletionProviderManager,
    IStatusBar,
    ILayoutRestorer
  ],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator | null,
    registry: ISettingRegistry | null,
    notebooks: INotebookTracker | null,
    consoles: IConsoleTracker | null,
    editors: IEditorTracker | null,
    palette: ICommandPalette | null,
    completers: ICompletionProviderManager | null,
    statusBar: IStatusBar | null,
    restorer: ILayoutRestorer | null
  ): IInserter => {
    const trans = (translator ?? nullTranslator).load('gorilla_jupyter');
    const settings = new Settings();
    if (registry) {
      settings.load(registry, PLUGIN_ID, trans).catch((error: unknown) => {
        console.error('gorilla-jupyter: the settings could not be read.', error);
      });
    }
    const client = new Client(app.serviceManager.serverSettings);
    const status = new StatusModel(client);
    const inserter = new Inserter(app, settings, trans, notebooks, consoles, editors);
    const options = () => ({
      candidates: settings.get('candidates'),
      model: settings.get('model') || null,
      project: folder(notebooks?.currentWidget ?? editors?.currentWidget)
    });
    const model = new PanelModel(
      client,
      options,
      error => error instanceof UnreachableError
    );
    model.settled.connect(() => status.refresh());
    model.changed.connect(() => {
      if (model.progress !== null && !status.isBusy) {
        status.refresh();
      }
    });

    const services: IServices = {
      trans,
      rendermime,
      insert: code => inserter.insert(code),
      cell: async ({ code, id, record }) => {
        const written = record.example_code || record.api_call;
        // Without a server, and for a record that it no longer has, the document itself will do.
        const placed = code === undefined && id ? await client.record(id).catch(() => null) : null;
        return code || placed?.code || written;
      },
      indexEnvironment: () => void app.commands.execute(CommandIDs.indexEnvironment),
      showDocument: shown => {
        model.open(shown);
        void app.commands.execute(CommandIDs.open);
      },
      leave: () => {
        const current = app.shell.currentWidget;
        if (current) {
          app.shell.activateById(current.id);
        }
      }
    };
    const sidebar = new Sidebar({ model, settings, status, services });
    app.shell.add(sidebar, 'left', { rank: 900 });
    restorer?.add(sidebar, sidebar.id);

    addCommands({
      ...{ app, client, inserter, model, settings, sidebar, status, trans },
      ...{ notebooks, consoles, editors, palette }
    });
    addAnswerRenderer(rendermime, services, inserter, notebooks);
    completers?.registerInlineProvider(new GorillaInlineCompleter(client, settings, options, trans));
    if (statusBar) {
      addStatusItem(statusBar, status, () => void app.commands.execute(CommandIDs.open), trans);
    }
    return inserter;
  }
};

/** The folder of a document, from the server's root; null where there is none. */
function folder(document: { context: { localPath: string } } | null | undefined): string | null {
  return document ? PathExt.dirname(document.context.localPath) || '.' : null;
}

export default plugin;
