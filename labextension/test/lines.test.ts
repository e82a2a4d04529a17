import { lines } from '../src/lines';

function stream(...chunks: Uint8Array[]): { stream: ReadableStream<Uint8Array>; cancelled(): boolean } {
  let cancelled = false;
  const source = new ReadableStream<Uint8Array>({
    pull: controller => {
      const chunk = chunks.shift();
      if (chunk) {
        controller.enqueue(chunk);
      } else {
        controller.close();
      }
    },
    cancel: () => {
      cancelled = true;
    }
  });
  return { stream: source, cancelled: () => cancelled };
}

const bytes = (text: string) => new TextEncoder().encode(text);

async function all(source: ReadableStream<Uint8Array>): Promise<string[]> {
  const found: string[] = [];
  for await (const line of lines(source)) {
    found.push(line);
  }
  return found;
}

it('joins what came in pieces, characters too', async () => {
  const text = bytes('{"a": "ö"}\n{"b": 2}\n');
  const pieces = [text.slice(0, 8), text.slice(8, 9), text.slice(9)];
  expect(await all(stream(...pieces).stream)).toEqual(['{"a": "ö"}', '{"b": 2}']);
});

it('gives the last line without an end', async () => {
  expect(await all(stream(bytes('a\nb')).stream)).toEqual(['a', 'b']);
});

it('cancels the stream when nobody listens any more', async () => {
  const source = stream(bytes('a\n'), bytes('b\n'), bytes('c\n'));
  for await (const line of lines(source.stream)) {
    expect(line).toBe('a');
    break;
  }
  expect(source.cancelled()).toBe(true);
});
