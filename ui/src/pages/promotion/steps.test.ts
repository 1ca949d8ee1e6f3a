import { describe, expect, it } from 'vitest';
import type { CheckPhase, Promotion } from '../../api/types';
import { fixtures } from '../../test/app';
import { barOf, forChat, rowOfInterest, secondsOf, spanOf, stepRows } from './steps';

const live = fixtures.promotion;
const failed = fixtures.promotionFailed;
const states = (promotion: Promotion) => stepRows(promotion, true).map(({ title, state }) => `${title} ${state}`);

describe('stepRows', () => {
  it('puts the gates before the steps and the roll-out after them', () =>
    expect(states(live)).toEqual([
      'Gates Succeeded',
      'git-clone Succeeded',
      'kustomize-set-image Succeeded',
      'git-commit Succeeded',
      'git-push Succeeded',
      'Roll out Running',
    ]));
  it('leaves the roll-out away where nothing is deployed', () =>
    expect(stepRows(live, false).at(-1)?.title).toBe('git-push'));
  it('calls what never began skipped, not succeeded', () => expect(states(failed).at(-1)).toBe('Roll out Skipped'));
  it('waits at the gates with the first reason', () => {
    const gate = (name: 'approval' | 'soak', reason: string) => ({
      gate: name,
      group: 'Start' as const,
      open: false,
      reason,
    });
    const { startedAt: _, ...pending } = live;
    const rows = stepRows(
      { ...pending, phase: 'Pending', steps: [], gates: [gate('approval', '0 of 2'), gate('soak', 'x')] },
      true,
    );
    expect(rows[0]).toMatchObject({ state: 'Waiting', detail: '0 of 2 and 1 more' });
  });
  it('does not call a version that was taken back succeeded', () =>
    expect(states({ ...live, phase: 'RolledBack', finished: true }).at(-1)).toBe('Roll out Aborted'));
});

describe('checks', () => {
  const run = (phase: CheckPhase, checks: CheckPhase[], more: object = {}) => ({
    ...live,
    verification: {
      run: 1,
      phase,
      checks: checks.map((each, i) => ({ name: `check-${i}`, kind: 'http' as const, phase: each })),
      startedAt: '2026-11-20T12:03:00Z',
      ...more,
    },
  });
  const last = (promotion: Promotion) => stepRows(promotion, true).at(-1);
  it('come after the roll-out, which is done when they begin', () => {
    const rows = stepRows(run('Running', ['Succeeded', 'Running']), true);
    expect(rows.slice(-2)).toMatchObject([
      { key: 'rollout', state: 'Succeeded' },
      { key: 'checks', state: 'Running', detail: '1 of 2 succeeded' },
    ]);
  });
  it('name the one that failed', () =>
    expect(last(run('Failed', ['Failed', 'Skipped']))).toMatchObject({ state: 'Failed', detail: 'check-0 failed' }));
  it('say that nobody knows, and in which run', () =>
    expect(last(run('Inconclusive', ['Inconclusive'], { run: 2 }))).toMatchObject({
      state: 'Failed',
      detail: 'run 2: check-0 is inconclusive',
    }));
  it('are to come where the Stage has some', () => {
    expect(stepRows(live, true, true).at(-1)).toMatchObject({ key: 'checks', state: 'Pending' });
    expect(stepRows({ ...live, kind: 'Rollback' }, true, true).at(-1)?.key).toBe('rollout');
    expect(stepRows({ ...live, finished: true }, true, true).at(-1)).toMatchObject({ state: 'Skipped' });
  });
});

describe('rowOfInterest', () => {
  const rows = stepRows(failed, true);
  it('is what the address names', () => expect(rowOfInterest(rows, 'git-clone-1')?.key).toBe('git-clone-1'));
  it('is what failed', () => expect(rowOfInterest(rows, undefined)?.key).toBe('git-push-4'));
  it('is what goes on', () => expect(rowOfInterest(stepRows(live, true), 'gone')?.key).toBe('rollout'));
});

describe('bars', () => {
  const now = new Date('2026-11-20T12:04:00Z');
  const rows = stepRows(failed, true);
  const row = (key: string) => rows.find((each) => each.key === key) ?? rows[0];
  const span = spanOf(failed, now);
  if (!span) throw new Error('it has started');
  it('share the time from start to end', () => {
    expect(span.seconds).toBe(49);
    const clone = row('git-clone-1');
    expect(clone && barOf(clone, span, now)?.left).toBe(0);
    const push = row('git-push-4');
    expect(push && Math.round(barOf(push, span, now)?.width ?? 0)).toBe(90);
    expect(push && secondsOf(push, now)).toBe(44);
  });
  it('are not drawn for what has not begun', () => {
    const rollout = row('rollout');
    expect(rollout && barOf(rollout, span, now)).toBeUndefined();
  });
  it('grow until now while it goes on', () => expect(spanOf(live, now)?.seconds).toBe(39));
});

it('says it in Markdown for a chat', () =>
  expect(forChat(failed, '2.15.0', rowOfInterest(stepRows(failed, true), undefined), 'https://w/p')).toBe(
    `**2.15.0 to checkout/staging: failed** at git-push\n> ${failed.message}\nhttps://w/p`,
  ));
