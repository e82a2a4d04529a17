import { Clipboard } from '@jupyterlab/apputils';
import { copyIcon } from '@jupyterlab/ui-components';
import { useEffect, useRef } from 'react';

import type { IServices } from './services';

/** Highlighted Python, rendered by JupyterLab's own sanitized renderer, with a button to copy it. */
export function Code({
  code,
  label,
  services
}: {
  code: string;
  label: string;
  services: IServices;
}): JSX.Element {
  const { rendermime, trans } = services;
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const renderer = rendermime.createRenderer('text/markdown');
    const data = { 'text/markdown': fenced(code) };
    void renderer.renderModel(rendermime.createModel({ data, trusted: false })).then(() => {
      if (!renderer.isDisposed) {
        place.current?.replaceChildren(renderer.node);
      }
    });
    return () => renderer.dispose();
  }, [code, rendermime]);
  const copy = trans.__('Copy %1', label);
  return (
    <div className="jp-Gorilla-code" role="group" aria-label={label}>
      <div ref={place} tabIndex={0} role="region" aria-label={label}>
        <pre>{code}</pre>
      </div>
      <button
        className="jp-Gorilla-copy jp-mod-minimal jp-Button"
        title={copy}
        aria-label={copy}
        onClick={() => Clipboard.copyToSystem(code)}
      >
        <copyIcon.react tag="span" />
      </button>
    </div>
  );
}

/** A Markdown block of Python that no content can end. */
function fenced(code: string): string {
  const longest = Math.max(2, ...[...code.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}python\n${code}\n${fence}`;
}
