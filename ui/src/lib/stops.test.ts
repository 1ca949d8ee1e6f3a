import { describe, expect, it } from 'vitest';
import { endOf, stageNames } from './stops';

const now = new Date(2026, 10, 20, 12, 4, 0); // Friday, in the zone of the machine

describe('endOf', () => {
  it('has no instant for an open end', () => expect(endOf('open', '', now)).toBeUndefined());
  it.each([
    ['1h', new Date(2026, 10, 20, 13, 4)],
    ['4h', new Date(2026, 10, 20, 16, 4)],
    ['morning', new Date(2026, 10, 21, 9)],
    ['monday', new Date(2026, 10, 23, 9)],
  ] as const)('%s', (ending, want) => expect(endOf(ending, '', now)).toEqual(want));
  it('means the Monday to come on a Monday', () =>
    expect(endOf('monday', '', new Date(2026, 10, 23, 8))).toEqual(new Date(2026, 10, 30, 9)));
  it('reads a named time, and only one to come', () => {
    expect(endOf('at', '2026-12-01T09:00', now)).toEqual(new Date(2026, 11, 1, 9));
    expect(endOf('at', '2026-11-01T09:00', now)).toBeUndefined();
    expect(endOf('at', '', now)).toBeUndefined();
  });
});

describe('stageNames', () => {
  it.each([
    [[], 'any Stage'],
    [['test'], 'test'],
    [['test', 'uat'], 'test and uat'],
    [['a', 'b', 'c', 'd'], 'a, b, c and d'],
    [['a', 'b', 'c', 'd', 'e'], 'a, b, c and 2 more'],
  ])('%j', (names, want) => expect(stageNames(names)).toBe(want));
});
