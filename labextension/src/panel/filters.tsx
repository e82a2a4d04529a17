import { useId } from 'react';

import type { IServices } from '../components/services';
import type { Settings } from '../settings';
import type { StatusModel } from '../status';
import type { IFilters, PanelModel } from './model';

/** What narrows a search, and which model answers. */
export function Filters({
  model,
  settings,
  status,
  services: { trans }
}: {
  model: PanelModel;
  settings: Settings;
  status: StatusModel;
  services: IServices;
}): JSX.Element {
  const labels: Record<keyof IFilters, string> = {
    framework: trans.__('Framework'),
    domain: trans.__('Domain'),
    package: trans.__('Package')
  };
  const found = {
    framework: model.documents.map(({ record }) => record.framework),
    domain: model.documents.map(({ record }) => record.domain),
    package: model.documents.map(document => document.package)
  };
  const names = Object.keys(labels) as (keyof IFilters)[];
  const used = names.filter(name => model.filters[name]).length;
  const models = status.status?.allowed_models ?? [];
  return (
    <details className="jp-Gorilla-filters">
      <summary>{used ? trans.__('Filters (%1)', used) : trans.__('Filters')}</summary>
      {names.map(name => (
        <Filter
          key={name}
          label={labels[name]}
          value={model.filters[name]}
          proposals={found[name]}
          change={value => model.filter({ [name]: value })}
        />
      ))}
      {models.length > 1 && (
        <label>
          <span>{trans.__('Model')}</span>
          <select
            className="jp-mod-styled"
            value={settings.get('model')}
            onChange={event => void settings.set('model', event.target.value)}
          >
            <option value="">{trans.__("The server's own")}</option>
            {models.map(name => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      )}
    </details>
  );
}

function Filter({
  label,
  value,
  proposals,
  change
}: {
  label: string;
  value: string;
  proposals: string[];
  change: (value: string) => void;
}): JSX.Element {
  const id = useId();
  return (
    <label>
      <span>{label}</span>
      <input
        className="jp-mod-styled"
        list={id}
        value={value}
        onChange={event => change(event.target.value)}
      />
      <datalist id={id}>
        {[...new Set(proposals)].filter(Boolean).map(text => (
          <option key={text} value={text} />
        ))}
      </datalist>
    </label>
  );
}
