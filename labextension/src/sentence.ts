const COMMENT = /^\s*#\s*gorilla:\s*(\S.*)$/i;
const MAGIC = /^\s*%{1,2}gorilla\b/;

/** The sentence of a comment such as `# gorilla: load a TTS model` at the end of which the cursor is. */
export function sentenceAtCursor(text: string, offset: number): string | null {
  const rest = text.slice(offset).split('\n', 1)[0];
  if (rest.trim()) {
    return null;
  }
  const sentence = COMMENT.exec(lastLine(text.slice(0, offset)))?.[1].trim();
  return sentence?.includes(' ') ? sentence : null;
}

/** The white space that the line with the cursor begins with. */
export function indentation(text: string, offset: number): string {
  return /^[ \t]*/.exec(lastLine(text.slice(0, offset)))![0];
}

/** What a cell says, without the marks of comments, headings and our own magics. */
export function sentenceOfCell(source: string): string {
  return source
    .split('\n')
    .map(line => line.replace(MAGIC, '').replace(/^\s*#+\s*(?:gorilla:)?/i, ''))
    .join('\n')
    .trim();
}

/** The topmost modules that the statements of a notebook import, as they come. */
export function importedModules(sources: readonly string[]): string[] {
  const statements = sources.flatMap(source => [
    ...source.matchAll(/^\s*(?:import\s+(.+)|from\s+(\w[\w.]*)\s+import\b)/gm)
  ]);
  const names = statements.flatMap(([, imported, from]) => (imported ?? from).split(','));
  const topmost = names.map(name => /^\s*([A-Za-z_]\w*)/.exec(name)?.[1]);
  return [...new Set(topmost.filter(name => name !== undefined))];
}

function lastLine(text: string): string {
  return text.slice(text.lastIndexOf('\n') + 1);
}
