import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { name, version } from '../package.json';

const plugin: JupyterFrontEndPlugin<void> = {
  id: `${name}:plugin`,
  description: 'Announces the extension and its version in the browser console.',
  autoStart: true,
  activate: () => {
    console.info(`${name} ${version} is active`);
  }
};

export default plugin;
