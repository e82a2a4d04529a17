import type { KeyboardEvent } from 'react';
import { useEffect, useRef } from 'react';

import { CandidateCard } from '../components/candidate';
import { BackButton, DocumentView } from '../components/document';
import { Guarded } from '../components/guarded';
import type { IServices } from '../components/services';
import type { Settings } from '../settings';
import type { StatusModel } from '../status';
import { Filters } from './filters';
import { History } from './history';
import type { PanelModel } from './model';
import { Results } from './results';

export interface IPanelProps {
  model: PanelModel;
  settings: Settings;
  status: StatusModel;
  services: IServices;
}

/** The box, and below it either what was found or the document that is open. */
export function GorillaPanel(props: IPanelProps): JSX.Element {
  const { model, services } = props;
  const { trans } = services;
  const root = useRef<HTMLDivElement>(null);
  const focusBack = useRef('');
  const { shown } = model;
  const back = (): void => model.open(null);
  useEffect(() => {
    const item = shown
      ? '[data-gorilla-back]'
      : focusBack.current && `[data-gorilla-id="${CSS.escape(focusBack.current)}"]`;
    if (item) {
      root.current?.querySelector<HTMLElement>(item)?.focus();
    }
    focusBack.current = shown?.id ?? '';
  }, [shown]);
  return (
    <div ref={root} className="jp-Gorilla-root" onKeyDown={event => move(event, props)}>
      <Box {...props} />
      <Filters {...props} />
      <Progress {...props} />
      <div className="jp-Gorilla-body">
        {shown ? (
          <Guarded
            key={shown.id}
            otherwise={
              <>
                <BackButton back={back} services={services} />
                <p>{trans.__('This document cannot be shown: it is not in the form of one.')}</p>
              </>
            }
          >
            <DocumentView shown={shown} back={back} services={services} />
          </Guarded>
        ) : (
          <Found {...props} />
        )}
      </div>
    </div>
  );
}

function Box({ model, services: { trans } }: IPanelProps): JSX.Element {
  const label = trans.__('Search the API documentation, or ask with Enter');
  return (
    <div className="jp-Gorilla-box">
      <input
        type="search"
        className="jp-mod-styled"
        data-gorilla-box=""
        aria-label={label}
        title={label}
        placeholder={trans.__('What do you want to do?')}
        value={model.text}
        onChange={event => model.type(event.target.value)}
      />
      {model.activity === 'asking' ? (
        <button className="jp-mod-styled jp-mod-warn" onClick={() => model.stop()}>
          {trans.__('Stop')}
        </button>
      ) : (
        <button
          className="jp-mod-styled jp-mod-accept"
          disabled={!model.text.trim()}
          onClick={() => void model.ask()}
        >
          {trans.__('Ask')}
        </button>
      )}
    </div>
  );
}

/** What is going on and what came of it, for eyes and for screen readers. */
function Progress({ model, services: { trans } }: IPanelProps): JSX.Element {
  return (
    <>
      <div role="status" className="jp-Gorilla-muted jp-Gorilla-progress">
        {said(model, trans)}
      </div>
      <div role="alert" className="jp-Gorilla-failed">
        {model.fault?.kind === 'unreachable'
          ? trans.__('The server does not answer. It is asked again until it does.')
          : model.fault?.message}
      </div>
    </>
  );
}

function said(model: PanelModel, trans: IServices['trans']): string {
  const { progress } = model;
  if (progress) {
    return progress.total
      ? `${progress.message}, ${progress.done} / ${progress.total}`
      : progress.message;
  }
  if (model.activity === 'searching') {
    return trans.__('Searching');
  }
  if (model.activity === 'asking') {
    return model.candidates.length
      ? trans._n('%1 answer so far', '%1 answers so far', model.candidates.length)
      : trans.__('Looking for documents and choosing among them');
  }
  if (model.answer) {
    return model.candidates.length
      ? trans._n('%1 answer', '%1 answers', model.candidates.length)
      : trans.__('No documented API fits this sentence. The nearest documents are below.');
  }
  if (model.hasResult) {
    return model.documents.length
      ? trans._n('%1 document', '%1 documents', model.documents.length)
      : trans.__('No document has these words.');
  }
  return '';
}

function Found({ model, services }: IPanelProps): JSX.Element {
  const { trans } = services;
  return (
    <>
      {model.notices.map(notice => (
        <p key={notice} className="jp-Gorilla-muted">
          {notice}
        </p>
      ))}
      {model.didYouMean && (
        <p>
          {trans.__('Did you mean')}{' '}
          <button className="jp-Gorilla-link" onClick={() => model.type(model.didYouMean!)}>
            {model.didYouMean}
          </button>
        </p>
      )}
      {model.candidates.length > 0 && (
        <section>
          <h3>{trans.__('Answers')}</h3>
          <ul className="jp-Gorilla-candidates">
            {model.candidates.map(candidate => (
              <CandidateCard
                key={`${candidate.source} ${candidate.api_name} ${candidate.api_call}`}
                candidate={candidate}
                insert={() => void services.insert(candidate.code)}
                services={services}
              />
            ))}
          </ul>
        </section>
      )}
      {model.documents.length > 0 && (
        <section>
          <h3>{trans.__('Documents')}</h3>
          <Results documents={model.documents} services={services} />
        </section>
      )}
      {!model.hasResult && model.activity === 'idle' && !model.fault && (
        <div className="jp-Gorilla-muted">
          <p>
            {trans.__(
              'Type to search the documentation; press Enter to get code for the sentence. Nothing is run for you.'
            )}
          </p>
          <button className="jp-Gorilla-link" onClick={() => services.indexEnvironment()}>
            {trans.__('Read what is installed')}
          </button>
        </div>
      )}
      <History model={model} services={services} />
    </>
  );
}

/** Arrows go through box and items, Enter asks, Escape goes one step back. */
function move(event: KeyboardEvent<HTMLElement>, { model, services }: IPanelProps): void {
  const target = event.target as HTMLElement;
  const box = event.currentTarget.querySelector<HTMLInputElement>('[data-gorilla-box]')!;
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-gorilla-item]')];
  const place = items.indexOf(target);
  if (event.nativeEvent.isComposing || !(target === box || place >= 0 || event.key === 'Escape')) {
    return;
  }
  switch (event.key) {
    case 'ArrowDown':
      items[Math.min(place + 1, items.length - 1)]?.focus();
      break;
    case 'ArrowUp':
      (place > 0 ? items[place - 1] : box).focus();
      break;
    case 'Enter':
      if (target !== box) {
        return;
      }
      void model.ask();
      break;
    case 'Escape':
      escape(target === box, box, model, services);
      break;
    default:
      return;
  }
  event.preventDefault();
  event.stopPropagation();
}

function escape(
  inBox: boolean,
  box: HTMLInputElement,
  model: PanelModel,
  services: IServices
): void {
  if (model.shown) {
    model.open(null);
  } else if (model.activity === 'asking') {
    model.stop();
  } else if (!inBox) {
    box.focus();
  } else if (model.text) {
    model.clear();
  } else {
    services.leave();
  }
}
