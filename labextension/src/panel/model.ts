import { Signal } from '@lumino/signaling';

import type {
  Answer,
  AskEvent,
  Candidate,
  Document,
  IClient,
  IOptions,
  Progress,
  Request
} from '../request';

/** How long nothing must be typed before a search begins, in milliseconds. */
export const TYPING_PAUSE = 200;

/** How long after the server was found gone it is tried again, at first and at most. */
export const RETRY_PAUSE = 2_000;
export const LONGEST_PAUSE = 30_000;

export const SEARCH_LIMIT = 20;

export interface IFilters {
  framework: string;
  domain: string;
  package: string;
}

/** A question of this session. */
export interface IQuestion {
  text: string;
  filters: IFilters;
  candidates: number;
}

/** A document that is open: one that was found, or that of a candidate, which has its code. */
export type IShown = Pick<Document, 'source' | 'install' | 'record'> &
  Partial<Pick<Document, 'id' | 'package' | 'installed'>> &
  Partial<Pick<Candidate, 'code' | 'checks'>>;

/** What was found wrong; `unreachable` asks for patience, `refused` for another question. */
export interface IFault {
  kind: 'unreachable' | 'refused';
  message: string;
}

const NO_FILTERS: IFilters = { framework: '', domain: '', package: '' };

/**
 * What the panel knows: what is typed, what is going on, and what was found.
 *
 * One thing is done at a time; beginning another stops it, and what it still says is dropped.
 */
export class PanelModel {
  readonly changed = new Signal<this, void>(this);
  /** Emitted when a question or a search has ended, well or not. */
  readonly settled = new Signal<this, void>(this);

  text = '';
  filters = NO_FILTERS;
  activity: 'idle' | 'searching' | 'asking' = 'idle';
  progress: Progress | null = null;
  documents: readonly Document[] = [];
  candidates: readonly Candidate[] = [];
  didYouMean: string | null = null;
  notices: readonly string[] = [];
  answer: Answer | null = null;
  /** Whether `documents` and `candidates` are the outcome of something. */
  hasResult = false;
  fault: IFault | null = null;
  history: readonly IQuestion[] = [];
  /** The document that is open in place of the lists. */
  shown: IShown | null = null;

  private running: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pause = RETRY_PAUSE;

  constructor(
    private readonly client: Pick<IClient, 'search' | 'ask'>,
    private readonly options: () => IOptions,
    private readonly isUnreachable: (error: unknown) => boolean
  ) {}

  /** The person typed: search once they pause. */
  type(text: string): void {
    this.text = text;
    this.shown = null;
    this.searchAfterPause();
  }

  /** The person narrowed the search: search once they pause. */
  filter(filters: Partial<IFilters>): void {
    this.filters = { ...this.filters, ...filters };
    this.searchAfterPause();
  }

  /** Search at once. */
  async search(): Promise<void> {
    const project = this.options().project ?? '';
    const query = { q: this.text.trim(), limit: SEARCH_LIMIT, project, ...this.filters };
    if (!query.q) {
      this.clear();
      return;
    }
    await this.run('searching', async signal => {
      const found = await this.client.search(query, signal);
      if (!signal.aborted) {
        this.forget();
        this.show(found);
        this.hasResult = true;
      }
    });
  }

  /** Ask for code at once; resolves with the answer, or null where it was stopped or failed. */
  async ask(text = this.text, filters = this.filters): Promise<Answer | null> {
    this.text = text;
    this.filters = filters;
    const instruction = text.trim();
    if (!instruction) {
      this.clear();
      return null;
    }
    const request: Request = {
      instruction,
      ...this.options(),
      framework: filters.framework || null,
      domain: filters.domain || null,
      package: filters.package || null
    };
    this.forget();
    this.shown = null;
    const done = await this.run('asking', async signal => {
      this.forget();
      for await (const event of this.client.ask(request, signal)) {
        if (signal.aborted) {
          return;
        }
        this.take(event);
        this.changed.emit();
      }
    });
    return done ? this.answer : null;
  }

  /** Open a document in place of the lists, or return to them. */
  open(shown: IShown | null): void {
    this.shown = shown;
    this.changed.emit();
  }

  /** Stop what is going on; what has come so far stays. */
  stop(): void {
    clearTimeout(this.timer);
    this.running?.abort();
    this.running = null;
    this.activity = 'idle';
    this.progress = null;
    this.changed.emit();
  }

  /** Stop, and begin anew with an empty box. */
  clear(): void {
    this.text = '';
    this.forget();
    this.fault = null;
    this.stop();
  }

  private searchAfterPause(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.search(), TYPING_PAUSE);
    this.changed.emit();
  }

  private async run(
    activity: 'searching' | 'asking',
    work: (signal: AbortSignal) => Promise<void>
  ): Promise<boolean> {
    clearTimeout(this.timer);
    this.running?.abort();
    const running = (this.running = new AbortController());
    this.activity = activity;
    this.progress = null;
    this.changed.emit();
    try {
      await work(running.signal);
      if (running.signal.aborted) {
        return false;
      }
      this.fault = null;
      this.pause = RETRY_PAUSE;
    } catch (error) {
      if (running.signal.aborted) {
        return false;
      }
      this.fail(error, () => void this.run(activity, work));
    }
    this.running = null;
    this.activity = 'idle';
    this.progress = null;
    this.changed.emit();
    this.settled.emit();
    return this.fault === null;
  }

  private fail(error: unknown, again: () => void): void {
    const message = error instanceof Error ? error.message : String(error);
    const unreachable = this.isUnreachable(error);
    this.fault = { kind: unreachable ? 'unreachable' : 'refused', message };
    if (unreachable) {
      this.timer = setTimeout(again, this.pause);
      this.pause = Math.min(2 * this.pause, LONGEST_PAUSE);
    }
  }

  private take(event: AskEvent): void {
    switch (event.event) {
      case 'progress':
        this.progress = event;
        break;
      case 'documents':
        this.progress = null;
        this.show(event);
        break;
      case 'candidate':
        this.candidates = [...this.candidates, event];
        break;
      case 'answer':
        this.answer = event;
        this.candidates = event.candidates;
        this.notices = event.notices;
        this.hasResult = true;
        this.remember(event);
        break;
    }
  }

  private show(found: {
    documents: Document[];
    did_you_mean: string | null;
    notices: string[];
  }): void {
    this.documents = found.documents;
    this.didYouMean = found.did_you_mean;
    this.notices = found.notices;
  }

  private forget(): void {
    this.documents = [];
    this.candidates = [];
    this.didYouMean = null;
    this.notices = [];
    this.answer = null;
    this.hasResult = false;
  }

  private remember(answer: Answer): void {
    const { text, filters } = this;
    const others = this.history.filter(asked => asked.text !== text);
    const question = { text, filters, candidates: answer.candidates.length };
    this.history = [question, ...others];
  }
}
