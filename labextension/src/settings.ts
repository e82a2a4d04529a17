import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import type { Place } from './tokens';

interface IValues {
  place: Place;
  candidates: number;
  inlineCompletion: boolean;
  model: string;
}

const DEFAULTS: IValues = { place: 'cursor', candidates: 3, inlineCompletion: true, model: '' };

/** What the person has set, as `schema/plugin.json` describes it. */
export class Settings {
  readonly changed = new Signal<this, void>(this);
  private settings: ISettingRegistry.ISettings | null = null;

  /**
   * Read the settings, and follow their changes.
   *
   * @param id - of the plugin whose schema they have.
   */
  async load(registry: ISettingRegistry, id: string, trans: TranslationBundle): Promise<void> {
    registry.transform(id, { fetch: plugin => translated(plugin, trans) });
    this.settings = await registry.load(id);
    this.settings.changed.connect(() => this.changed.emit());
    this.changed.emit();
  }

  get<Name extends keyof IValues>(name: Name): IValues[Name] {
    const value = this.settings?.get(name).composite as IValues[Name] | undefined;
    return value ?? DEFAULTS[name];
  }

  /** Change a setting; without a settings registry, nothing happens. */
  async set<Name extends keyof IValues>(name: Name, value: IValues[Name]): Promise<void> {
    await this.settings?.set(name, value);
  }
}

// A server translates schemas from language packs only, which know nothing of ours.
function translated(
  plugin: ISettingRegistry.IPlugin,
  trans: TranslationBundle
): ISettingRegistry.IPlugin {
  const texts = new Set(['title', 'description']);
  const schema = JSON.parse(JSON.stringify(plugin.schema), (key, value: unknown) =>
    texts.has(key) && typeof value === 'string' ? trans.__(value) : value
  ) as ISettingRegistry.ISchema;
  return { ...plugin, schema };
}
