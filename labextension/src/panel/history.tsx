import type { IServices } from '../components/services';
import type { PanelModel } from './model';

/** The questions of this session, each of which can be asked again. */
export function History({
  model,
  services: { trans }
}: {
  model: PanelModel;
  services: IServices;
}): JSX.Element | null {
  if (model.history.length === 0) {
    return null;
  }
  return (
    <details className="jp-Gorilla-history">
      <summary>{trans.__('Earlier questions')}</summary>
      <ul>
        {model.history.map(question => (
          <li key={question.text}>
            <button
              title={trans.__('Ask again')}
              onClick={() => void model.ask(question.text, question.filters)}
            >
              {question.text}{' '}
              <span className="jp-Gorilla-muted">
                {trans._n('%1 answer', '%1 answers', question.candidates)}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}
