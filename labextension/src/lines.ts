/** The lines of a stream of UTF-8, without their ends, as they come. */
export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const parts = (rest + decoder.decode(value, { stream: !done })).split('\n');
      rest = parts.pop()!;
      yield* parts;
      if (done) {
        break;
      }
    }
    if (rest) {
      yield rest;
    }
  } finally {
    // Whoever stops listening wants no more of it.
    await reader.cancel().catch(() => undefined);
  }
}
