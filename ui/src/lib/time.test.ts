import { describe, expect, it } from 'vitest';
import { ago, clock, exactSpan, instant, span } from './time';

const now = new Date(2026, 10, 20, 12, 4, 0); // Friday, in the zone of the machine

function before(seconds: number): Date {
  return new Date(now.getTime() - seconds * 1000);
}

describe('ago', () => {
  it.each([
    [-30, '0s'],
    [4, '4s'],
    [40, '40s'],
    [60, '1m'],
    [3599, '59m'],
    [3600, '1h'],
    [47 * 3600, '47h'],
    [48 * 3600, '2d'],
  ])('%s seconds ago is %s', (seconds, want) => {
    expect(ago(before(seconds), now)).toBe(want);
  });
});

describe('span', () => {
  it.each([
    [0, '0s'],
    [59, '59s'],
    [245, '4m 05s'],
    [7800, '2h 10m'],
    [3600, '1h'],
    [100 * 3600, '4d 4h'],
    [7 * 86400, '7d'],
  ])('%s seconds are %s', (seconds, want) => {
    expect(span(seconds)).toBe(want);
  });
});

describe('exactSpan', () => {
  it.each([
    [0, '0.0s'],
    [0.04, '0.0s'],
    [0.26, '0.3s'],
    [9.94, '9.9s'],
    [9.96, '10s'],
    [245.4, '4m 05s'],
  ])('%s seconds are %s', (seconds, want) => {
    expect(exactSpan(seconds)).toBe(want);
  });
});

describe('clock', () => {
  it('names the time only for today', () => expect(clock(new Date(2026, 10, 20, 14, 30), now)).toBe('14:30'));
  it('adds the day of the week in the next days', () =>
    expect(clock(new Date(2026, 10, 24, 9, 0), now)).toBe('Tue 09:00'));
  it('adds the date when it is far', () => expect(clock(new Date(2026, 11, 1, 9, 0), now)).toBe('1 Dec 09:00'));
});

describe('instant', () => {
  it('reads RFC 3339', () => expect(instant('2026-11-20T12:04:00Z')?.getTime()).toBe(Date.UTC(2026, 10, 20, 12, 4)));
  it('is undefined for nothing and for nonsense', () => {
    expect(instant(undefined)).toBeUndefined();
    expect(instant('soon')).toBeUndefined();
  });
});
