import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Timeline } from '../../api/types';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';
import { drawLanes, figures, ticks, tints } from './lanes';

const get = 'GET /api/v1/projects/checkout/timeline';
const page = '/projects/checkout?view=list';
const from = new Date(fixtures.timeline.from);
const until = new Date(fixtures.timeline.until);

function dock() {
  return screen.findByRole('region', { name: 'What ran where' });
}

function changed(change: (timeline: Timeline) => void) {
  const timeline = structuredClone(fixtures.timeline);
  change(timeline);
  return { status: 200, body: timeline };
}

describe('what ran where', () => {
  // on a lower page it is folded
  beforeEach(() => {
    vi.stubGlobal('matchMedia', (query: string) => {
      return Object.assign(new EventTarget(), { media: query, matches: query === '(min-height: 900px)' });
    });
  });

  it('loading: the shape of what is coming', async () => {
    const { container } = renderApp(page, ({ answers }) => answers.set(get, never()));
    expect(within(await dock()).queryByRole('list')).not.toBeInTheDocument();
    expect(container.querySelector('section[aria-label="What ran where"] [aria-busy="true"]')).toBeInTheDocument();
  });

  it('error: says why, and the rest of the page stands', async () => {
    const { network } = renderApp(page, ({ answers }) => answers.set(get, problem(500, 'internal', 'internal error')));
    expect(await within(await dock()).findByText(/It cannot be shown: internal error/)).toBeVisible();
    expect(screen.getByRole('article', { name: /^Stage test,/ })).toBeVisible();
    network.answers.set(get, { status: 200, body: fixtures.timeline });
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect(await screen.findByRole('list', { name: 'Stages, upstream first' })).toBeVisible();
  });

  it('empty: says so', async () => {
    renderApp(page, ({ answers }) =>
      answers.set(
        get,
        changed((timeline) => {
          for (const lane of timeline.lanes) lane.spans = [];
        }),
      ),
    );
    expect(await within(await dock()).findByText(/Nothing ran yet/)).toBeVisible();
  });

  it('full: each Stage is a list of versions, oldest first, with all of it in words', async () => {
    const { container } = renderApp(page);
    const staging = await screen.findByRole('list', { name: 'Versions in staging, oldest first' });
    const versions = within(staging)
      .getAllByRole('listitem')
      .map((each) => each.title);
    expect(versions.map((words) => words.split(' ')[0])).toEqual([
      '2.13.1',
      '2.13.2',
      '2.13.4',
      '2.13.5',
      '2.13.4',
      '2.14.0',
    ]);
    expect(versions[0]).toContain('from before that is known to');
    expect(versions[3]).toContain('4h 28m; by staging-000018 of waybill; taken back by staging-000019');
    expect(versions[4]).toContain('by rollback staging-000019 of lena');
    expect(versions[5]).toContain('to now, 2h');
    expect(within(staging).getByText(versions[3] ?? '')).toHaveClass('visuallyHidden');
    const region = await dock();
    expect(within(region).getByText('rolled back')).toBeVisible();
    expect(within(region).getByText('failed')).toBeVisible();
    expect(region).toHaveTextContent('Failure rate 16.7 %');
    await expectAccessible(container);
  });

  it('folds away, and says what it leaves out', async () => {
    renderApp(page, ({ answers }) =>
      answers.set(
        get,
        changed((timeline) => {
          const [lane] = timeline.lanes;
          if (!lane) throw new Error('the fixture has no lane');
          timeline.lanes = Array.from({ length: 12 }, (_, i) => ({ ...lane, stage: `stage-${i}`, older: i }));
          timeline.warning = 'the history store does not answer: only what the cluster still has is shown';
        }),
      ),
    );
    const region = await dock();
    const lanes = () => within(region).getAllByRole('list', { name: /^Versions in/ });
    await within(region).findByText('66 older ones are left out.');
    expect(within(region).getByText(/the history store does not answer/)).toBeVisible();
    expect(lanes()).toHaveLength(8);
    await userEvent.click(within(region).getByRole('button', { name: 'Show all 12' }));
    expect(lanes()).toHaveLength(12);
    const fold = within(region).getByRole('button', { name: 'What ran where' });
    expect(fold).toHaveAttribute('aria-expanded', 'true');
    await userEvent.click(fold);
    expect(within(region).queryByRole('list')).not.toBeInTheDocument();
  });
});

describe('lanes', () => {
  const drawn = drawLanes(fixtures.timeline.lanes, from, until);

  it('share all of the range among bars and what is empty', () => {
    const whole = (until.getTime() - from.getTime()) / 1000;
    for (const lane of drawn) {
      expect(lane.bars.reduce((sum, bar) => sum + bar.seconds, lane.before + lane.after)).toBeCloseTo(whole);
    }
  });

  it('give a version one tint everywhere, and its neighbours another', () => {
    const tintOf = new Map<string, number>();
    for (const bar of drawn.flatMap((lane) => lane.bars)) {
      expect(tintOf.get(bar.span.freight.name) ?? bar.tint).toBe(bar.tint);
      expect(bar.tint).toBeLessThanOrEqual(tints);
      tintOf.set(bar.span.freight.name, bar.tint);
    }
    expect(new Set(drawn[4]?.bars.map((bar) => bar.tint)).size).toBe(2);
  });

  it('name the Warehouse where a Stage takes from several', () => {
    const [one] = fixtures.timeline.lanes;
    if (!one) throw new Error('the fixture has no lane');
    const names = drawLanes([one, { ...one, origin: 'base' }], from, until).map((lane) => lane.name);
    expect(names).toEqual([`test, ${one.origin}`, 'test, base']);
  });

  it('leave room before what came within the range, and after what a later end is not known of', () => {
    const span = { freight: { name: 'f1' }, from: '2026-11-13T12:04:00Z', until: '2026-11-17T00:04:00Z' };
    const [lane] = drawLanes([{ stage: 'a', origin: 'b', older: 0, spans: [span] }], from, until);
    expect([lane?.before, lane?.bars[0]?.seconds, lane?.after]).toEqual([7 * 86400, 3.5 * 86400, 3.5 * 86400]);
    const [empty] = drawLanes([{ stage: 'a', origin: 'b', older: 0, spans: [] }], from, until);
    expect([empty?.before, empty?.after]).toEqual([14 * 86400, 0]);
  });

  it('have days on their axis, in order and not under its end', () => {
    const days = ticks(from, until);
    expect(days.length).toBeGreaterThan(3);
    expect(days.every(({ left }, i) => left >= 0 && left <= 86 && (i === 0 || left > (days[i - 1]?.left ?? 0)))).toBe(
      true,
    );
    expect(days[0]?.label).toMatch(/^\d+ Nov$/);
    expect(days[1]?.label).toMatch(/^\d+$/);
    const turn = ticks(new Date('2026-11-26T12:00:00Z'), new Date('2026-12-10T12:00:00Z'));
    expect(turn.filter(({ label }) => label.endsWith('Dec'))).toHaveLength(1);
  });

  it('say nothing of what is not known', () => {
    const none = { count: 0, medianSeconds: 0, p90Seconds: 0, longestSeconds: 0 };
    const insights = { ...fixtures.timeline.insights, restored: none, leadTime: none, judged: 0 };
    expect(figures(insights)).toEqual([['Deploys', '3 / week']]);
    expect(figures({ ...insights, deploys: 0 })).toEqual([]);
    expect(figures(fixtures.timeline.insights).map(([term]) => term)).toEqual([
      'Lead time',
      'Deploys',
      'Failure rate',
      'Restored in',
    ]);
  });
});
