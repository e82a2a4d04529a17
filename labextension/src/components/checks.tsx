import type { TranslationBundle } from '@jupyterlab/translation';

import type { Check } from '../request';

const MARKS = { passed: '✓', failed: '✗', unknown: '?' } as const;

/** The checks of a candidate as small marks; what failed also says why. */
export function Checks({
  checks,
  trans
}: {
  checks: readonly Check[];
  trans: TranslationBundle;
}): JSX.Element {
  const names = {
    documented: trans.__('documented'),
    installed: trans.__('installed'),
    signature: trans.__('signature'),
    syntax: trans.__('syntax')
  };
  const outcomes = {
    passed: trans.__('passed'),
    failed: trans.__('failed'),
    unknown: trans.__('unknown')
  };
  return (
    <ul className="jp-Gorilla-checks" aria-label={trans.__('Checks')}>
      {checks.map(({ name, status, sentence }) => (
        <li key={name} title={sentence} className={`jp-Gorilla-${status}`}>
          <span aria-hidden="true">{MARKS[status]} </span>
          {names[name]}
          <span className={status === 'failed' ? '' : 'jp-Gorilla-hidden'}>
            <span className="jp-Gorilla-hidden">, {outcomes[status]}</span>: {sentence}
          </span>
        </li>
      ))}
    </ul>
  );
}
