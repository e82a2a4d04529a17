import { LONGEST_PAUSE, PanelModel, RETRY_PAUSE, TYPING_PAUSE } from '../src/panel/model';
import type { AskEvent, Document, Request, SearchQuery, SearchResult } from '../src/request';

class Gone extends Error {}

/** A server whose answers come when the test says so. */
class Server {
  searches: {
    query: SearchQuery;
    signal: AbortSignal;
    answer(names: string[]): void;
    fail(error: Error): void;
  }[] = [];
  asked: { request: Request; signal: AbortSignal }[] = [];
  events: (AskEvent | Error)[] = [];

  search(query: SearchQuery, signal: AbortSignal): Promise<SearchResult> {
    return new Promise((resolve, reject) => {
      const answer = (names: string[]) => resolve(found(names));
      this.searches.push({ query, signal, answer, fail: reject });
    });
  }

  async *ask(request: Request, signal: AbortSignal): AsyncIterable<AskEvent> {
    this.asked.push({ request, signal });
    for (const event of this.events) {
      await Promise.resolve();
      if (event instanceof Error) {
        throw event;
      }
      yield event;
    }
  }
}

function found(names: string[]): SearchResult {
  const documents = names.map(id => ({ id }) as Document);
  return { documents, did_you_mean: null, notices: [] };
}

function event(name: string, content: object): AskEvent {
  return { event: name, ...content } as AskEvent;
}

const ANSWER = event('answer', { candidates: [{ code: 'a()' }], nearest: [], notices: [] });

let server: Server;
let model: PanelModel;

beforeEach(() => {
  jest.useFakeTimers();
  server = new Server();
  model = new PanelModel(
    server,
    () => ({ candidates: 3, model: null, project: 'shop' }),
    error => error instanceof Gone
  );
});

const names = () => model.documents.map(document => document.id);
const pass = (time: number) => jest.advanceTimersByTimeAsync(time);

describe('searching', () => {
  it('waits until nothing is typed', async () => {
    model.type('s');
    await pass(TYPING_PAUSE - 1);
    model.type('sp');
    await pass(TYPING_PAUSE - 1);
    expect(server.searches).toHaveLength(0);
    await pass(1);
    expect(server.searches.map(({ query }) => query.q)).toEqual(['sp']);
  });

  it('drops an answer that is no longer asked for, and tells the server', async () => {
    model.type('first');
    await pass(TYPING_PAUSE);
    model.type('second');
    await pass(TYPING_PAUSE);
    const [first, second] = server.searches;
    expect(first.signal.aborted).toBe(true);
    second.answer(['b']);
    await pass(0);
    first.answer(['a']);
    await pass(0);
    expect(names()).toEqual(['b']);
    expect(model.activity).toBe('idle');
  });

  it('keeps what was found until the next answer is there', async () => {
    model.type('one');
    await pass(TYPING_PAUSE);
    server.searches[0].answer(['a']);
    await pass(0);
    model.type('two');
    await pass(TYPING_PAUSE);
    expect(names()).toEqual(['a']);
  });

  it('asks nothing about an empty box', async () => {
    model.type('  ');
    await pass(TYPING_PAUSE);
    expect(server.searches).toHaveLength(0);
    expect(model.activity).toBe('idle');
  });

  it('passes filters on', async () => {
    model.type('one');
    model.filter({ package: 'pandas' });
    await pass(TYPING_PAUSE);
    expect(server.searches[0].query).toMatchObject({ q: 'one', package: 'pandas' });
  });
});

describe('asking', () => {
  it('shows documents, then candidates, then the answer, and remembers the question', async () => {
    server.events = [
      event('started', { job: '1' }),
      event('documents', found(['a'])),
      event('candidate', { code: 'a()' }),
      ANSWER
    ];
    const seen: string[] = [];
    model.changed.connect(() => seen.push(`${model.documents.length} ${model.candidates.length}`));
    const answer = model.ask('load a model');
    await pass(0);
    expect((await answer)?.candidates).toHaveLength(1);
    expect([...new Set(seen)]).toEqual(['0 0', '1 0', '1 1']);
    expect(model.history.map(({ text }) => text)).toEqual(['load a model']);
  });

  it('asks for as many as the person wants, with their filters', async () => {
    model.filter({ framework: 'PyTorch' });
    void model.ask('load a model');
    await pass(0);
    expect(server.asked[0].request).toMatchObject({
      candidates: 3,
      project: 'shop',
      framework: 'PyTorch',
      domain: null
    });
  });

  it('stops, keeps what came, and gives no answer', async () => {
    server.events = [event('documents', found(['a'])), ANSWER];
    const answer = model.ask('load a model');
    model.changed.connect(() => model.documents.length && model.activity === 'asking' && model.stop());
    await pass(0);
    expect(await answer).toBeNull();
    expect(server.asked[0].signal.aborted).toBe(true);
    expect(names()).toEqual(['a']);
    expect(model.history).toEqual([]);
  });

  it('shows why the server refused', async () => {
    server.events = [new Error('This model is not allowed here.')];
    void model.ask('load a model');
    await pass(0);
    expect(model.fault).toEqual({ kind: 'refused', message: 'This model is not allowed here.' });
    await pass(LONGEST_PAUSE);
    expect(server.asked).toHaveLength(1);
  });
});

describe('a server that is gone', () => {
  it('is asked again until it is back', async () => {
    model.type('one');
    await pass(TYPING_PAUSE);
    server.searches[0].fail(new Gone());
    await pass(RETRY_PAUSE);
    expect(model.fault?.kind).toBe('unreachable');
    server.searches[1].fail(new Gone());
    await pass(2 * RETRY_PAUSE);
    server.searches[2].answer(['a']);
    await pass(0);
    expect(model.fault).toBeNull();
    expect(names()).toEqual(['a']);
  });

  it('is not asked for what is no longer wanted', async () => {
    model.type('one');
    await pass(TYPING_PAUSE);
    server.searches[0].fail(new Gone());
    await pass(0);
    model.stop();
    await pass(LONGEST_PAUSE);
    expect(server.searches).toHaveLength(1);
  });
});
