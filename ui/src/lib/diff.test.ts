import { describe, expect, it } from 'vitest';
import { parseDiff } from './diff';

const text = `@@ -4,3 +4,4 @@
 metadata:
-  version: 2.13.4
+  version: 2.14.0
+  new: true
@@ -20,2 +21,2 @@
 spec:
-  memory: 512Mi
+  memory: 768Mi
`;

describe('parseDiff', () => {
  const lines = parseDiff(text);
  it('counts what is left out', () =>
    expect(lines.filter(({ kind }) => kind === 'skipped').map((line) => line.text)).toEqual([
      '3 unchanged lines',
      '14 unchanged lines',
    ]));
  it('numbers both sides', () =>
    expect(lines.filter(({ kind }) => kind !== 'skipped').map(({ before, after }) => [before, after])).toEqual([
      [4, 4],
      [5, undefined],
      [undefined, 5],
      [undefined, 6],
      [20, 21],
      [21, undefined],
      [undefined, 22],
    ]));
  it('marks words only where a line takes the place of another', () => {
    expect(lines.find((line) => line.text.includes('2.13.4'))?.words).toBeUndefined();
    expect(lines.find((line) => line.text.includes('512Mi'))?.words).toMatchObject({ before: '512Mi', after: '768Mi' });
  });
  it('reads what is created and what is deleted', () => {
    expect(parseDiff('@@ -0,0 +1,2 @@\n+a\n+b\n').map(({ kind, after }) => `${kind} ${after}`)).toEqual([
      'added 1',
      'added 2',
    ]);
    expect(parseDiff('@@ -1,2 +0,0 @@\n-a\n-b\n').map(({ kind, before }) => `${kind} ${before}`)).toEqual([
      'removed 1',
      'removed 2',
    ]);
  });
  it('keeps lines that look like headers inside a hunk', () =>
    expect(parseDiff('--- a\n+++ b\n@@ -1 +1 @@\n---- x\n+++ y\n').map((line) => line.text)).toEqual([
      '--- x',
      '++ y',
    ]));
  it('is empty for nothing', () => expect(parseDiff('')).toEqual([]));
});
