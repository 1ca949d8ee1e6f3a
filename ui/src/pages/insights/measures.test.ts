import { describe, expect, it } from 'vitest';
import type { DeliveryPart, Insights } from '../../api/types';
import { fixtures } from '../../test/app';
import { advice, dayName, inWords, lines, measures, percent, places, restoredWords, toneOf, trendOf } from './measures';

const { total } = fixtures.insights;

function measure(id: string) {
  const found = measures.find((each) => each.id === id);
  if (!found) throw new Error(`there is no measure ${id}`);
  return found;
}

function trend(id: string, change: Partial<Insights>, from: Insights = total) {
  return trendOf(measure(id), { ...from, ...change }, from)?.words;
}

describe('measures', () => {
  it('get better or worse, which is not the same as more or less', () => {
    expect(trend('deploys', { perWeek: 9.2 })).toBe('+0.3, better');
    expect(trend('deploys', { perWeek: 7 })).toBe('−1.9, worse');
    expect(trend('failed', { failurePercent: 7.5 })).toBe('−3 points, better');
    expect(trend('rework', { reworkPercent: 6.3 })).toBe('+1 point, worse');
    expect(trend('restored', { restored: { ...total.restored, medianSeconds: 1200 } })).toBe('−22m 00s, better');
    expect(trend('lead', { leadTime: { ...total.leadTime, medianSeconds: 100_145 } })).toBe('+2h 46m, worse');
  });

  it('are the same when they read the same', () => {
    expect(trend('deploys', {})).toBe('same');
    expect(trend('lead', { leadTime: { ...total.leadTime, medianSeconds: total.leadTime.medianSeconds + 1 } })).toBe(
      'same',
    );
  });

  it('are not compared when one is not known, or they begin elsewhere', () => {
    expect(trend('failed', { judged: 0, failurePercent: 0 })).toBeUndefined();
    expect(trend('deploys', {}, { ...total, deploys: 0, perWeek: 0 })).toBeUndefined();
    expect(trend('lead', { leadTimeFrom: 'commit' })).toBeUndefined();
  });

  it('know a 0 that was counted from one that was not', () => {
    expect(inWords(measure('failed'), { ...total, failed: 0, failurePercent: 0 })).toBe('0 %');
    expect(inWords(measure('failed'), { ...total, judged: 0 })).toBe('not known');
    const restored = { count: 0, medianSeconds: 0, p90Seconds: 0, longestSeconds: 0 };
    expect(inWords(measure('restored'), { ...total, restored })).toBe('not yet');
    expect(inWords(measure('restored'), { ...total, restored, unrestored: 0 })).toBe('nothing failed');
    expect(inWords(measure('restored'), { ...total, restored, unrestored: 0, judged: 0 })).toBe('not known');
    expect(inWords(measure('deploys'), { ...total, deploys: 0 })).toBe('none known');
  });
});

describe('parts', () => {
  const part = (name: DeliveryPart['name'], share: number): DeliveryPart => ({
    name,
    percent: share,
    took: total.leadTime,
  });
  const parts = [part('asked', 40), part('started', 45), part('pushed', 0), part('healthy', 15)];

  it('are darkest where most of the time goes', () => {
    expect(parts.map((each) => toneOf(each, parts))).toEqual([2, 1, 3, 2]);
  });

  it('are advised about by the widest', () => {
    expect(advice(parts)).toMatch(/^The largest part of the time, 45 %, passes between the request and the start\. /);
    expect(advice([part('healthy', 60)])).toMatch(/^Most of the time, 60 %, goes into rollout and checks\. /);
    expect(advice([])).toBeUndefined();
  });

  it('took some time, however little', () => {
    expect([0, 0.04, 0.1, 52.4].map(percent)).toEqual(['under 0.1 %', 'under 0.1 %', '0.1 %', '52.4 %']);
  });
});

describe('words', () => {
  it('name the first of many Stages', () => {
    expect(places(['a', 'b', 'c'])).toBe('a, b, c');
    expect(places(['a', 'b', 'c', 'd'])).toBe('a, b and 2 more');
  });

  it('say what restored a Stage', () => {
    const [failure] = fixtures.insights.failures;
    if (!failure) throw new Error('the fixture has no failure');
    expect(restoredWords(failure)).toBe('rollback, in 42m 00s');
    expect(restoredWords({ ...failure, restoredKind: 'Promote', restoredSeconds: undefined })).toBe('promotion');
  });

  it('count days in UTC', () => {
    expect([dayName('2026-11-09T00:00:00Z'), dayName('2026-11-09T23:59:59Z')]).toEqual(['9 Nov', '9 Nov']);
  });
});

it('draws lines at whole numbers, few, up to the highest bar', () => {
  expect(lines(1)).toEqual([0, 1]);
  expect(lines(3)).toEqual([0, 1, 2, 3]);
  expect(lines(5)).toEqual([0, 2, 4, 6]);
  expect(lines(40)).toEqual([0, 10, 20, 30, 40]);
  for (let most = 1; most < 200; most++) {
    const marks = lines(most);
    expect(marks.length).toBeLessThanOrEqual(5);
    expect(marks.at(-1)).toBeGreaterThanOrEqual(most);
  }
});
