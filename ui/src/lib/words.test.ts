import { describe, expect, it } from 'vitest';
import { wordDiff } from './words';

describe('wordDiff', () => {
  it.each([
    ['2.13.4', '2.14.0', { start: '2.', before: '13.4', after: '14.0', end: '' }],
    ['a', 'a', { start: 'a', before: '', after: '', end: '' }],
    ['', 'x', { start: '', before: '', after: 'x', end: '' }],
    ['512Mi of memory', '768Mi of memory', { start: '', before: '512Mi', after: '768Mi', end: ' of memory' }],
    ['a.a', 'a', { start: 'a', before: '.a', after: '', end: '' }],
  ])('%s to %s', (before, after, want) => {
    expect(wordDiff(before, after)).toEqual(want);
  });
});
