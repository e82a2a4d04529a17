import type { ReactNode } from 'react';

import type { IShown } from '../panel/model';
import { Checks } from './checks';
import { Code } from './code';
import { Installed } from './installed';
import type { IServices } from './services';

interface IBackProps {
  back: () => void;
  services: IServices;
}

/** Leads from a document to what was found. */
export function BackButton({ back, services: { trans } }: IBackProps): JSX.Element {
  return (
    <button className="jp-mod-styled" data-gorilla-back="" onClick={back}>
      {trans.__('Back')}
    </button>
  );
}

/** All that one API's documentation says. */
export function DocumentView({
  shown,
  back,
  services
}: IBackProps & { shown: IShown }): JSX.Element {
  const { trans } = services;
  const { record } = shown;
  return (
    <article className="jp-Gorilla-document" aria-label={record.api_name}>
      <div className="jp-Gorilla-actions">
        <BackButton back={back} services={services} />
        <button
          className="jp-mod-styled jp-mod-accept"
          onClick={async () => services.insert(await services.cell(shown))}
        >
          {trans.__('Insert')}
        </button>
      </div>
      <h3>{record.api_name}</h3>
      <p className="jp-Gorilla-muted">
        {record.framework} · {record.domain} <Installed installed={shown.installed} trans={trans} />
      </p>
      {shown.checks && <Checks checks={shown.checks} trans={trans} />}
      <p>{record.functionality}</p>
      <Code code={record.api_call} label={trans.__('signature')} services={services} />
      {record.description !== record.functionality && (
        <p className="jp-Gorilla-description">{record.description}</p>
      )}
      <Arguments shown={shown} services={services} />
      {record.example_code && (
        <Section title={trans.__('Example')}>
          <Code code={record.example_code} label={trans.__('example')} services={services} />
        </Section>
      )}
      {shown.install && (
        <Section title={trans.__('Requirements')}>
          <Code code={shown.install} label={trans.__('requirements')} services={services} />
        </Section>
      )}
      {Object.keys(record.performance).length > 0 && (
        <Section title={trans.__('Performance')}>
          <table>
            <tbody>
              {Object.entries(record.performance).map(([name, figure]) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td>{typeof figure === 'string' ? figure : JSON.stringify(figure)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Section>
      )}
      <Origin shown={shown} services={services} />
    </article>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }): JSX.Element {
  return (
    <section>
      <h4>{title}</h4>
      {children}
    </section>
  );
}

function Arguments({
  shown,
  services: { trans }
}: {
  shown: IShown;
  services: IServices;
}): JSX.Element | null {
  const found = Object.entries(shown.record.api_arguments);
  if (found.length === 0) {
    return null;
  }
  return (
    <Section title={trans.__('Arguments')}>
      <table>
        <thead>
          <tr>
            <th scope="col">{trans.__('Argument')}</th>
            <th scope="col">{trans.__('Meaning')}</th>
          </tr>
        </thead>
        <tbody>
          {found.map(([name, argument]) => (
            <tr key={name}>
              <th scope="row">
                <code>{name}</code>
              </th>
              <td>
                {(argument.type || argument.default) && (
                  <code>
                    {argument.type}
                    {argument.default && ` = ${argument.default}`}
                  </code>
                )}
                <div>{argument.description}</div>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}

function Origin({
  shown: { record, source, ...shown },
  services: { trans }
}: {
  shown: IShown;
  services: IServices;
}): JSX.Element {
  const facts = {
    [trans.__('Catalog')]: source,
    [trans.__('Package')]: shown.package,
    [trans.__('Version')]: record.api_version,
    [trans.__('Released')]: record.released,
    [trans.__('First choice')]:
      record.first_choice && trans.__('where nothing more is said'),
    [trans.__('Checked against')]: record.checked
  };
  return (
    <Section title={trans.__('Where it comes from')}>
      <dl>
        {Object.entries(facts).map(
          ([name, fact]) =>
            fact && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{fact}</dd>
              </div>
            )
        )}
      </dl>
    </Section>
  );
}
