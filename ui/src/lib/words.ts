/** The part two texts share at the start, the part that differs in each, and the part they share at the end. */
export interface WordDiff {
  start: string;
  before: string;
  after: string;
  end: string;
}

/** Splits two texts at what differs, on borders of words, so that "2.13.4" to "2.14.0" marks "13.4" and "14.0". */
export function wordDiff(before: string, after: string): WordDiff {
  const [a, b] = [tokens(before), tokens(after)];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return {
    start: a.slice(0, start).join(''),
    before: a.slice(start, a.length - end).join(''),
    after: b.slice(start, b.length - end).join(''),
    end: a.slice(a.length - end).join(''),
  };
}

function tokens(text: string): string[] {
  return text.match(/[\p{L}\p{N}]+|[^\p{L}\p{N}]/gu) ?? [];
}
