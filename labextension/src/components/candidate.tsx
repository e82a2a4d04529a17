import type { ReactNode } from 'react';

import type { Candidate } from '../request';
import { Checks } from './checks';
import { Code } from './code';
import type { IServices } from './services';

/** One of several answers: its code, its checks, and what can be done with it. */
export function CandidateCard({
  candidate,
  insert,
  services,
  children
}: {
  candidate: Candidate;
  insert: () => void;
  services: IServices;
  children?: ReactNode;
}): JSX.Element {
  const { trans } = services;
  const name = candidate.api_name;
  return (
    <li className="jp-Gorilla-candidate">
      <h4>
        {name} <span className="jp-Gorilla-muted">{candidate.api_provider}</span>
      </h4>
      <Code code={candidate.code} label={trans.__('Code of %1', name)} services={services} />
      <Checks checks={candidate.checks} trans={trans} />
      <div className="jp-Gorilla-actions">
        <button
          className="jp-mod-styled jp-mod-accept"
          data-gorilla-item=""
          aria-label={trans.__('Insert %1', name)}
          onClick={insert}
        >
          {trans.__('Insert')}
        </button>
        {children}
        <button
          className="jp-mod-styled"
          aria-label={trans.__('Show document of %1', name)}
          onClick={() => services.showDocument(candidate)}
        >
          {trans.__('Show document')}
        </button>
      </div>
    </li>
  );
}
