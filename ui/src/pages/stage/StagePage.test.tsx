import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { Check } from '../../api/types';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';
import { promotionRows } from './PromotionsCard';

const address = '/projects/checkout/stages/prod-us';
const pipelineCall = 'GET /api/v1/projects/checkout/pipeline';

describe('stage page', () => {
  it('loading: the shape of what is coming', async () => {
    const { container } = renderApp(address, ({ answers }) => answers.set(pipelineCall, never()));
    expect(await screen.findByLabelText('Loading the stage')).toBeInTheDocument();
    await expectAccessible(container);
  });

  it('error: a Stage that is not there', async () => {
    renderApp('/projects/checkout/stages/nowhere');
    expect(await screen.findByText('There is no Stage nowhere in checkout.')).toBeVisible();
  });

  it('empty: a Stage without Freight, drift or promotions says so', async () => {
    const model = structuredClone(fixtures.pipeline);
    const stage = model.stages.find((each) => each.name === 'prod-us');
    Object.assign(stage ?? {}, { freight: undefined, destinations: [], next: undefined, freezes: [] });
    model.activity = [];
    renderApp(address, ({ answers }) => {
      answers.set(pipelineCall, { status: 200, body: model });
      answers.set('GET /api/v1/projects/checkout/stages/prod-us', {
        status: 200,
        body: { ...fixtures.stage, promotions: [] },
      });
    });
    expect(await screen.findByText('Nothing has drifted from Git.')).toBeVisible();
    expect(await screen.findByText('Nothing was promoted into this Stage yet.')).toBeVisible();
  });

  it('full: gates of the next Freight, health, drift by hand and field, promotions', async () => {
    const { container } = renderApp(address);
    const next = await screen.findByRole('region', { name: /Next: 2\.14\.0/ });
    expect(within(next).getAllByRole('listitem')).toHaveLength(4);
    const drift = screen.getByRole('region', { name: 'Drift' });
    expect(within(drift).getByText('spec.maxReplicas')).toBeVisible();
    expect(within(drift).getByText('kubectl-patch · Announced')).toBeVisible();
    const promotions = screen.getByRole('region', { name: 'Last promotions' });
    expect(await within(promotions).findByText('error rate up, INC-2291')).toBeVisible();
    expect(within(promotions).getByText(/forbidden/)).toBeVisible();
    await expectAccessible(container);
  });

  it('tries the last promotion again when it failed', async () => {
    const model = structuredClone(fixtures.pipeline);
    model.activity = [];
    const promotions = fixtures.stage.promotions.filter((each) => each.phase === 'Failed');
    const { history } = renderApp(address, ({ answers }) => {
      answers.set(pipelineCall, { status: 200, body: model });
      answers.set('GET /api/v1/projects/checkout/stages/prod-us', {
        status: 200,
        body: { ...fixtures.stage, promotions },
      });
    });
    const card = await screen.findByRole('region', { name: 'Last promotions' });
    await userEvent.click(await within(card).findByRole('button', { name: 'Retry…' }));
    expect(history.location.search).toContain('retry=prod-us-000008');
    expect(await screen.findByRole('dialog', { name: 'Retry prod-us-000008' })).toBeVisible();
  });

  it('shows each check live, with the log of its Job, and runs them again', async () => {
    const model = structuredClone(fixtures.pipeline);
    const stage = model.stages.find((each) => each.name === 'prod-us');
    const checks: Check[] = [
      { name: 'smoke', kind: 'job', phase: 'Succeeded', value: 'exit code 0', finishedAt: '2026-03-02T12:00:00Z' },
      {
        name: 'errors',
        kind: 'prometheus',
        phase: 'Failed',
        value: '0.4',
        message: 'too many',
        succeeded: 1,
        failed: 1,
      },
      { name: 'ping', kind: 'http', phase: 'Skipped' },
    ];
    Object.assign(stage ?? {}, {
      checks: 3,
      freight: { ...stage?.freight, promotion: 'prod-us.7' },
      verification: {
        promotion: 'prod-us.7',
        version: '2.13.1',
        run: 2,
        phase: 'Failed',
        message: 'check "errors" failed: too many',
        checks,
      },
    });
    const log = { verification: { run: 2, phase: 'Failed', checks: [{ ...checks[0], log: 'GET / 200' }] } };
    const { container } = renderApp(address, ({ answers }) => {
      answers.set(pipelineCall, { status: 200, body: model });
      answers.set('GET /api/v1/projects/checkout/promotions/prod-us.7', { status: 200, body: log });
      answers.set('POST /api/v1/projects/checkout/stages/prod-us/verify', { status: 202, body: log });
    });
    const card = await screen.findByRole('region', { name: 'Checks' });
    expect(within(card).getAllByRole('listitem')).toHaveLength(3);
    expect(within(card).getByText('0.4')).toBeVisible();
    expect(within(card).getByText('too many (2 measured, 1 bad)')).toBeVisible();
    await userEvent.click(within(card).getByRole('button', { name: 'Log' }));
    expect(await within(card).findByText('GET / 200')).toBeVisible();
    await expectAccessible(container);
    await userEvent.click(within(card).getByRole('button', { name: 'Run the checks again' }));
    expect(await screen.findByText('The checks of prod-us run again.')).toBeVisible();
  });

  it('names the object at fault', async () => {
    const model = structuredClone(fixtures.pipeline);
    const stage = model.stages.find((each) => each.name === 'prod-us');
    Object.assign(stage ?? {}, {
      health: 'Degraded',
      healthMessage: 'Deployment/checkout-api: CrashLoopBackOff in pod x',
    });
    renderApp(address, ({ answers }) => answers.set(pipelineCall, { status: 200, body: model }));
    const health = await screen.findByRole('region', { name: 'Health' });
    expect(within(health).getByText('Degraded')).toBeVisible();
    expect(within(health).getByText('Deployment/checkout-api: CrashLoopBackOff in pod x')).toBeVisible();
  });

  it('ends a hold', async () => {
    const { network } = renderApp(address, ({ answers }) =>
      answers.set('POST /api/v1/projects/checkout/stages/prod-us/resume', { status: 200, body: { items: [] } }),
    );
    await userEvent.click(await screen.findByRole('button', { name: 'Resume' }));
    expect(await screen.findByText('The automatic flow into prod-us goes on.')).toBeVisible();
    expect(network.calls()).toContain('POST /api/v1/projects/checkout/stages/prod-us/resume');
  });

  it('says when older promotions could not be loaded, and keeps the rest', async () => {
    renderApp(address, ({ answers }) =>
      answers.set('GET /api/v1/projects/checkout/stages/prod-us', problem(500, 'internal', 'internal error')),
    );
    expect(await screen.findByText(/Older promotions could not be loaded: internal error/)).toBeVisible();
    await waitFor(() => expect(screen.getByRole('region', { name: 'Drift' })).toBeVisible());
  });
});

describe('promotionRows', () => {
  const stage = fixtures.pipeline.stages.find((each) => each.name === 'prod-us');
  if (!stage) throw new Error('the fixture has no prod-us');

  it('lays live activity over what was fetched, newest first', () => {
    const fetched = fixtures.stage.promotions.map((each) => ({ ...each, phase: 'Succeeded' as const }));
    const first = fetched[0];
    if (!first) throw new Error('the fixture has no promotion');
    const rows = promotionRows(stage, fetched, [
      {
        promotion: first.name,
        stage: 'prod-us',
        kind: 'Promote',
        phase: 'RolledBack',
        at: '2026-11-20T12:00:00Z',
        sentence: 'taken back',
        automatic: false,
      },
      {
        promotion: 'prod-us-000099',
        stage: 'prod-us',
        kind: 'Promote',
        version: '3.0.0',
        phase: 'Running',
        at: '2026-11-20T12:03:00Z',
        sentence: 'runs',
        automatic: true,
      },
      {
        promotion: 'test-1',
        stage: 'test',
        kind: 'Promote',
        phase: 'Running',
        at: '2026-11-20T12:03:00Z',
        sentence: '',
        automatic: true,
      },
    ]);
    expect(rows.map(({ name, phase }) => `${name} ${phase}`).slice(0, 2)).toEqual([
      'prod-us-000099 Running',
      `${first.name} RolledBack`,
    ]);
    expect(rows.some(({ name }) => name === 'test-1')).toBe(false);
  });
});
