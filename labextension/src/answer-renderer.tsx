import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { IRenderMime, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ReactWidget } from '@jupyterlab/ui-components';

import { CandidateCard } from './components/candidate';
import { Guarded } from './components/guarded';
import type { IServices } from './components/services';
import type { Inserter } from './insert';
import { warn } from './notify';
import type { Answer, Candidate } from './request';

const MIME_TYPE = 'application/vnd.gorilla.answer+json';

/** Before HTML, which stands in where this extension is missing. */
const RANK = 40;

/** Show the answers of `%gorilla` with what can be done with them. */
export function addAnswerRenderer(
  rendermime: IRenderMimeRegistry,
  services: IServices,
  inserter: Inserter,
  notebooks: INotebookTracker | null
): void {
  rendermime.addFactory(
    {
      safe: true,
      mimeTypes: [MIME_TYPE],
      createRenderer: () => new AnswerRenderer(services, inserter, notebooks)
    },
    RANK
  );
}

class AnswerRenderer extends ReactWidget implements IRenderMime.IRenderer {
  private answer: Answer | null = null;

  constructor(
    private readonly services: IServices,
    private readonly inserter: Inserter,
    private readonly notebooks: INotebookTracker | null
  ) {
    super();
    this.addClass('jp-Gorilla-answer');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.answer = model.data[MIME_TYPE] as unknown as Answer;
    this.update();
    await this.renderPromise;
  }

  protected override render(): JSX.Element | null {
    const { answer, services } = this;
    const { trans } = services;
    if (answer === null) {
      return null;
    }
    return (
      <Guarded
        otherwise={<p>{trans.__('This answer cannot be shown: it is not in the form of one.')}</p>}
      >
        <AnswerView
          answer={answer}
          services={services}
          insert={candidate => this.insert(candidate)}
          replace={candidate => this.replace(candidate)}
        />
      </Guarded>
    );
  }

  private async insert(candidate: Candidate): Promise<void> {
    const place = this.place();
    if (place === null) {
      await this.inserter.insert(candidate.code);
    } else {
      await this.inserter.below(place.panel, place.index, candidate.code);
    }
  }

  private async replace(candidate: Candidate): Promise<void> {
    const { trans } = this.services;
    const place = this.place();
    const offered = new Set(this.answer!.candidates.map(({ code }) => code.trim()));
    const cells = place?.panel.content.model?.sharedModel.cells ?? [];
    const inserted = cells.findIndex(
      (cell, index) => index > place!.index && offered.has(cell.source.trim())
    );
    if (inserted < 0) {
      warn(
        trans.__('No cell below has code of this answer unchanged, so nothing was replaced.')
      );
      return;
    }
    await this.inserter.replace(place!.panel, inserted, candidate.code);
  }

  /** The cell that this is the output of. */
  private place(): { panel: NotebookPanel; index: number } | null {
    const panel = this.notebooks?.find(({ node }) => node.contains(this.node));
    const index = panel?.content.widgets.findIndex(({ node }) => node.contains(this.node));
    return panel && index !== undefined && index >= 0 ? { panel, index } : null;
  }
}

function AnswerView({
  answer,
  services,
  insert,
  replace
}: {
  answer: Answer;
  services: IServices;
  insert: (candidate: Candidate) => Promise<void>;
  replace: (candidate: Candidate) => Promise<void>;
}): JSX.Element {
  const { trans } = services;
  return (
    <section aria-label={trans.__('Answers')}>
      {answer.notices.map(notice => (
        <p key={notice} className="jp-Gorilla-muted">
          {notice}
        </p>
      ))}
      <ul className="jp-Gorilla-candidates">
        {answer.candidates.map(candidate => (
          <CandidateCard
            key={`${candidate.source} ${candidate.api_name} ${candidate.api_call}`}
            candidate={candidate}
            insert={() => void insert(candidate)}
            services={services}
          >
            <button
              className="jp-mod-styled"
              aria-label={trans.__('Replace the inserted cell with %1', candidate.api_name)}
              onClick={() => void replace(candidate)}
            >
              {trans.__('Replace the inserted cell')}
            </button>
          </CandidateCard>
        ))}
      </ul>
      {answer.candidates.length === 0 && (
        <>
          <p>{trans.__('No documented API fits this sentence. The nearest documents:')}</p>
          <ul>
            {answer.nearest.map(found => (
              <li key={found.id}>
                <button className="jp-Gorilla-link" onClick={() => services.showDocument(found)}>
                  {found.record.api_name}
                </button>{' '}
                <span className="jp-Gorilla-muted">{found.record.functionality}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
