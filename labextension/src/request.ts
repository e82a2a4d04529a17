import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { UUID } from '@lumino/coreutils';

import { lines } from './lines';
import type { components, paths } from './openapi';

type Schemas = components['schemas'];

export type Answer = Schemas['Answer'];
export type AskEvent = Schemas['AskEvent'];
export type Candidate = Schemas['Candidate'];
export type Check = Schemas['Check'];
export type Document = Schemas['Document'];
export type Job = Schemas['Job'];
export type PlacedRecord = Schemas['PlacedRecord'];
export type Progress = Schemas['Progress'];
export type Request = Partial<Schemas['Request']> & { instruction: string };
export type SearchQuery = paths['/gorilla/search']['get']['parameters']['query'];
export type SearchResult = Schemas['SearchResult'];
export type Status = Schemas['Status'];

/** What goes with every sentence: the person's settings, and where they are. */
export interface IOptions {
  candidates: number;
  model: string | null;
  /** The folder of the notebook or file at hand; null where there is none. */
  project: string | null;
}

/** The server refused; the message is its sentence. */
export class RefusedError extends Error {}

/** The server did not answer, or stopped in the middle of an answer. */
export class UnreachableError extends Error {}

/** The server's REST interface, as `openapi.yaml` describes it. */
export interface IClient {
  /**
   * Find documents.
   *
   * @throws {@link RefusedError}, {@link UnreachableError}
   */
  search(query: SearchQuery, signal: AbortSignal): Promise<SearchResult>;

  /**
   * Answer a sentence, event by event; ending the iteration or aborting cancels it on the server.
   *
   * @throws {@link RefusedError}, {@link UnreachableError}
   */
  ask(request: Request, signal: AbortSignal): AsyncIterable<AskEvent>;

  /**
   * Read one document.
   *
   * @throws {@link RefusedError}, {@link UnreachableError}
   */
  record(id: string): Promise<PlacedRecord>;

  /**
   * How things stand.
   *
   * @throws {@link RefusedError}, {@link UnreachableError}
   */
  status(): Promise<Status>;

  /**
   * Bring the index up to date in the background.
   *
   * @throws {@link RefusedError}, {@link UnreachableError}
   */
  index(): Promise<Job>;
}

/** The client of a Jupyter server. */
export class Client implements IClient {
  /** Which browser tab asks: tabs and kernels take turns. */
  private readonly id = UUID.uuid4();

  constructor(private readonly settings: ServerConnection.ISettings) {}

  async search(query: SearchQuery, signal: AbortSignal): Promise<SearchResult> {
    const given = Object.entries(query).filter(([, value]) => value !== '');
    return (await this.fetch('search', { signal }, Object.fromEntries(given))).json();
  }

  async *ask(request: Request, signal: AbortSignal): AsyncIterable<AskEvent> {
    const body = JSON.stringify(request);
    const response = await this.fetch('ask', { method: 'POST', body, signal });
    let ended = false;
    try {
      for await (const line of lines(response.body!)) {
        const event = JSON.parse(line) as AskEvent;
        if (event.event === 'error') {
          throw new RefusedError(event.message);
        }
        ended = event.event === 'answer';
        yield event;
      }
    } catch (error) {
      throw error instanceof TypeError ? new UnreachableError(error.message) : error;
    }
    if (!ended) {
      throw new UnreachableError('The answer ended in the middle.');
    }
  }

  async record(id: string): Promise<PlacedRecord> {
    return (await this.fetch(`records/${encodeURIComponent(id)}`)).json();
  }

  async status(): Promise<Status> {
    return (await this.fetch('status')).json();
  }

  async index(): Promise<Job> {
    const body = JSON.stringify({ kind: 'index' });
    return (await this.fetch('jobs', { method: 'POST', body })).json();
  }

  private async fetch(path: string, init: RequestInit = {}, query = {}): Promise<Response> {
    const words = URLExt.objectToQueryString({ ...query, client: this.id });
    const url = URLExt.join(this.settings.baseUrl, 'gorilla', path) + words;
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this.settings);
    } catch (error) {
      init.signal?.throwIfAborted();
      throw error instanceof ServerConnection.NetworkError
        ? new UnreachableError(error.message)
        : error;
    }
    if (!response.ok) {
      throw new RefusedError(await sentence(response));
    }
    return response;
  }
}

async function sentence(response: Response): Promise<string> {
  try {
    return ((await response.json()) as Schemas['Error']).message;
  } catch {
    // A proxy answered, or a server without the extension.
    return `${response.status} ${response.statusText}`;
  }
}
