import type { TranslationBundle } from '@jupyterlab/translation';

/** Whether the server's environment has what a document requires; nothing where nobody knows. */
export function Installed({
  installed,
  trans
}: {
  installed: boolean | null | undefined;
  trans: TranslationBundle;
}): JSX.Element | null {
  if (typeof installed !== 'boolean') {
    return null;
  }
  const title = trans.__('As far as the environment of the Jupyter server goes');
  return installed ? (
    <span className="jp-Gorilla-installed jp-Gorilla-passed" title={title}>
      {trans.__('installed')}
    </span>
  ) : (
    <span className="jp-Gorilla-installed jp-Gorilla-muted" title={title}>
      {trans.__('not installed')}
    </span>
  );
}
