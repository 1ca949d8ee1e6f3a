import { type WordDiff, wordDiff } from './words';

/** One line of a difference: shared, only before, only after, or a note that lines in between are left out. */
export interface DiffLine {
  kind: 'shared' | 'removed' | 'added' | 'skipped';
  /** Line number before and after, from 1; absent where the line is not. */
  before?: number;
  after?: number;
  text: string;
  /** For a removed line with an added one in its place, and the other way round: which words differ. */
  words?: WordDiff;
}

/**
 * Reads a unified difference (the format of `diff -u`). Headers are dropped; lines left out between two hunks
 * become one line that counts them.
 */
export function parseDiff(text: string): DiffLine[] {
  const lines: DiffLine[] = [];
  let [before, after] = [1, 1];
  let isInside = false;
  for (const raw of text.replace(/\n$/, '').split('\n')) {
    const hunk = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/.exec(raw);
    if (hunk) {
      // an empty side starts after the line it names
      const start = Number(hunk[1]) + (hunk[2] === '0' ? 1 : 0);
      const left = start - before;
      if (left > 0) lines.push({ kind: 'skipped', text: left === 1 ? '1 unchanged line' : `${left} unchanged lines` });
      before = start;
      after = Number(hunk[3]) + (hunk[4] === '0' ? 1 : 0);
      isInside = true;
    } else if (isInside) {
      const content = raw.slice(1);
      if (raw.startsWith('-')) lines.push({ kind: 'removed', before: before++, text: content });
      else if (raw.startsWith('+')) lines.push({ kind: 'added', after: after++, text: content });
      else if (!raw.startsWith('\\')) lines.push({ kind: 'shared', before: before++, after: after++, text: content });
    }
  }
  markWords(lines);
  return lines;
}

/** Pairs the n-th removed line of a change with the n-th added one, where there are as many of both. */
function markWords(lines: DiffLine[]): void {
  for (let i = 0; i < lines.length; ) {
    const run = (from: number, kind: DiffLine['kind']) => {
      let end = from;
      while (lines[end]?.kind === kind) end++;
      return end - from;
    };
    const removed = run(i, 'removed');
    const added = run(i + removed, 'added');
    if (removed > 0 && removed === added) {
      for (let n = 0; n < removed; n++) {
        const [old, now] = [lines[i + n] as DiffLine, lines[i + removed + n] as DiffLine];
        const words = wordDiff(old.text, now.text);
        old.words = words;
        now.words = words;
      }
    }
    i += Math.max(1, removed + added);
  }
}
