import type { JSONObject } from '@lumino/coreutils';
import { MimeData } from '@lumino/coreutils';
import { Drag } from '@lumino/dragdrop';
import type { PointerEvent } from 'react';

import { Installed } from '../components/installed';
import type { IServices } from '../components/services';
import { codeCell } from '../insert';
import type { Document } from '../request';

/** What notebooks take when it is dropped on them. */
const CELLS_MIME_TYPE = 'application/vnd.jupyter.cells';

/** How far the pointer must move before a press becomes a drag, in pixels. */
const DRAG_THRESHOLD = 5;

/** The documents that were found, best first. */
export function Results({
  documents,
  services
}: {
  documents: readonly Document[];
  services: IServices;
}): JSX.Element {
  return (
    <ul className="jp-Gorilla-results" aria-label={services.trans.__('Documents')}>
      {documents.map(found => (
        <Result key={found.id} found={found} services={services} />
      ))}
    </ul>
  );
}

function Result({ found, services }: { found: Document; services: IServices }): JSX.Element {
  const { record } = found;
  return (
    <li>
      <button
        data-gorilla-item=""
        data-gorilla-id={found.id}
        onClick={() => services.showDocument(found)}
        onPointerDown={event => dragOnMove(event, found, services)}
      >
        <span className="jp-Gorilla-name">{record.api_name}</span>
        <Installed installed={found.installed} trans={services.trans} />
        <span className="jp-Gorilla-muted">
          {record.framework} · {record.domain}
        </span>
        <span className="jp-Gorilla-line">{record.functionality}</span>
      </button>
    </li>
  );
}

function dragOnMove(press: PointerEvent, found: Document, services: IServices): void {
  if (press.button !== 0) {
    return;
  }
  const target = press.currentTarget;
  const released = new AbortController();
  const { signal } = released;
  let cell: Promise<string> | null = null;
  // A browser that takes a touch for scrolling cancels it.
  for (const end of ['pointerup', 'pointercancel']) {
    document.addEventListener(end, () => released.abort(), { signal });
  }
  document.addEventListener(
    'pointermove',
    event => {
      const way = Math.hypot(event.clientX - press.clientX, event.clientY - press.clientY);
      if (cell === null && way >= DRAG_THRESHOLD) {
        cell = services.cell(found);
        void cell.then(code => {
          if (!signal.aborted) {
            released.abort();
            void drag(target, code, event);
          }
        });
      }
    },
    { signal }
  );
}

async function drag(source: Element, code: string, at: MouseEvent): Promise<void> {
  const mimeData = new MimeData();
  mimeData.setData(CELLS_MIME_TYPE, [codeCell(code) as JSONObject]);
  mimeData.setData('text/plain', code);
  const dragImage = source.cloneNode(true) as HTMLElement;
  dragImage.classList.add('jp-Gorilla-dragged');
  const options = { mimeData, dragImage, source, proposedAction: 'copy', supportedActions: 'copy' };
  const moving = new Drag(options as Drag.IOptions);
  await moving.start(at.clientX, at.clientY);
  moving.dispose();
}
