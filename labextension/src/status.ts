import type { TranslationBundle } from '@jupyterlab/translation';
import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';

import type { IClient, Status } from './request';

/** How often the server is asked, in milliseconds: while it works, and otherwise. */
const BUSY_INTERVAL = 1_000;
const IDLE_INTERVAL = 60_000;

/** How the server says that things stand, as of late. */
export class StatusModel {
  readonly changed = new Signal<this, void>(this);
  /** Null while the server has not answered. */
  status: Status | null = null;
  private readonly poll: Poll;

  constructor(client: Pick<IClient, 'status'>) {
    this.poll = new Poll({
      name: 'gorilla-jupyter:status',
      factory: () => client.status(),
      frequency: { interval: IDLE_INTERVAL, backoff: true, max: 5 * IDLE_INTERVAL },
      standby: 'when-hidden'
    });
    this.poll.ticked.connect((_, { phase, payload }) => {
      if (phase !== 'resolved' && phase !== 'rejected') {
        return;
      }
      this.status = phase === 'resolved' ? (payload as unknown as Status) : null;
      const interval = this.isBusy ? BUSY_INTERVAL : IDLE_INTERVAL;
      if (interval !== this.poll.frequency.interval) {
        this.poll.frequency = { ...this.poll.frequency, interval };
      }
      this.changed.emit();
    });
  }

  /** Whether the server was at work when it was last asked. */
  get isBusy(): boolean {
    return Boolean(this.status?.jobs.length);
  }

  /** Ask the server now. */
  refresh(): void {
    void this.poll.refresh();
  }

  /** Model, size of the index and progress of the first job, in a line. */
  sentence(trans: TranslationBundle): string {
    const { status } = this;
    if (status === null) {
      return trans.__('The server does not answer');
    }
    const progress = status.jobs.find(job => job.progress !== null)?.progress;
    if (progress) {
      const part = progress.total ? ` ${Math.floor((100 * progress.done) / progress.total)} %` : '';
      return `${progress.message}${part}`;
    }
    if (status.index === null) {
      return status.model;
    }
    const catalogs = Object.values(status.index.catalogs);
    const records = catalogs.reduce((sum, catalog) => sum + catalog.records, 0);
    const documents = trans._n('%1 document', '%1 documents', records);
    return `${status.model} · ${documents}`;
  }
}
