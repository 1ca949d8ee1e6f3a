import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';

const base = '/api/v1/projects/checkout/promotions';
const live = '/projects/checkout/promotions/test-000041';
const failed = '/projects/checkout/promotions/staging-000018';

describe('promotion page', () => {
  it('loading: the shape of what is coming', async () => {
    renderApp(live, ({ answers }) => answers.set(`GET ${base}/test-000041`, never()));
    expect(await screen.findByLabelText('Loading the promotion')).toBeInTheDocument();
  });

  it('error: a promotion that is not there', async () => {
    renderApp('/projects/checkout/promotions/gone');
    expect(await screen.findByText('The promotion gone does not exist, or you may not see it')).toBeVisible();
  });

  it('full: steps with their times, what goes on now, what it means', async () => {
    const { container } = renderApp(live);
    const steps = await screen.findByRole('list', { name: 'Steps' });
    await waitFor(() =>
      expect([...steps.querySelectorAll<HTMLElement>('[data-step]')].map((row) => row.dataset.state)).toEqual([
        ...Array(5).fill('Succeeded'),
        'Running',
      ]),
    );
    expect(within(steps).getByText('2 attempts')).toBeVisible();
    const panel = screen.getByRole('region', { name: /Roll out/ });
    expect(within(panel).getAllByText(/3 of 4 pods run the new revision/)[0]).toBeVisible();
    expect(screen.getByRole('region', { name: 'What this means now' })).toHaveTextContent('test runs 2.15.0');
    await expectAccessible(container);
  });

  it('does not say twice what runs', async () => {
    const model = structuredClone(fixtures.pipeline);
    const stage = model.stages.find((each) => each.name === 'test');
    if (stage) stage.status.sentence = `runs ${stage.freight?.version}`;
    renderApp(live, ({ answers }) =>
      answers.set('GET /api/v1/projects/checkout/pipeline', { status: 200, body: model }),
    );
    const meaning = await screen.findByRole('region', { name: 'What this means now' });
    expect(meaning.textContent?.match(/runs/gi)).toHaveLength(1);
  });

  it('opens the step that failed, with what it said and what to do', async () => {
    const freight = fixtures.promotionFailed.freight;
    const { container, history, network } = renderApp(failed, ({ answers }) => {
      answers.set(`GET /api/v1/projects/checkout/stages/staging/plan?freight=${freight?.name}`, {
        status: 200,
        body: { ...fixtures.plan, freight, mayPromote: true, planHash: 'sha256:7' },
      });
      answers.set(`POST ${base}/staging-000018/retry`, { status: 202, body: fixtures.promotion });
    });
    const panel = await screen.findByRole('region', { name: /git-push/ });
    expect(within(panel).getAllByText(/may read but not write/).length).toBeGreaterThan(0);
    expect(within(panel).getByText('waybill retry checkout/staging-000018 --wait')).toBeVisible();
    await expectAccessible(container);
    await userEvent.keyboard('k');
    await waitFor(() => expect(history.location.search).toContain('step=git-commit-3'));
    await userEvent.click(screen.getByRole('button', { name: 'Retry…' }));
    const dialog = await screen.findByRole('dialog', { name: 'Retry staging-000018' });
    await userEvent.type(within(dialog).getByRole('textbox', { name: 'Reason' }), 'it may push now');
    await userEvent.click(await within(dialog).findByRole('button', { name: 'Retry 2.15.0' }));
    await waitFor(() => expect(network.calls()).toContain(`POST ${base}/staging-000018/retry`));
    expect(network.recorded.find(({ call }) => call.startsWith('POST'))?.body).toEqual({
      freight: freight?.name,
      reason: 'it may push now',
      planHash: 'sha256:7',
    });
  });

  it('offers no retry to who may not promote, nor of what was tried again, and names the other one', async () => {
    const of = { ...fixtures.promotionFailed, mayRetry: false, retryOf: 'staging-000015', retriedBy: 'staging-000020' };
    renderApp(failed, ({ answers }) => answers.set(`GET ${base}/staging-000018`, { status: 200, body: of }));
    const meaning = await screen.findByRole('region', { name: 'What this means now' });
    expect(within(meaning).getByRole('link', { name: 'staging-000020' })).toBeVisible();
    expect(within(meaning).getByRole('link', { name: 'staging-000015' })).toBeVisible();
    expect(screen.queryByRole('button', { name: 'Retry…' })).toBeNull();
  });

  it('shows the checks with what they measured and wrote, and why it was taken back', async () => {
    const { container } = renderApp('/projects/checkout/promotions/staging-000017');
    const panel = await screen.findByRole('region', { name: /Checks/ });
    expect(within(panel).getByText('0.0314')).toBeVisible();
    expect(within(panel).getByText(/3 measured, 1 bad, 1 inconclusive/)).toBeVisible();
    expect(within(panel).getAllByText('took 22s')).toHaveLength(2);
    await userEvent.click(within(panel).getByRole('button', { name: 'Log' }));
    expect(await within(panel).findByRole('region', { name: 'Log of smoke' })).toHaveTextContent('3 passed');
    const meaning = screen.getByRole('region', { name: 'What this means now' });
    expect(meaning).toHaveTextContent('Taken back by "staging-000019": check "errors" failed: 0.0314');
    expect(within(meaning).getByRole('link', { name: 'Show the rollback' })).toBeVisible();
    expect(within(panel).queryByRole('button', { name: /checks/ })).toBeNull();
    await expectAccessible(container);
  });

  it('runs the checks again where it is what the Stage runs, and says why not', async () => {
    const model = structuredClone(fixtures.pipeline);
    const stage = model.stages.find((each) => each.name === 'test');
    if (stage?.freight) stage.freight.promotion = 'test-000041';
    const run = {
      promotion: 'test-000041',
      run: 1,
      phase: 'Inconclusive',
      startedAt: '2026-11-20T12:03:00Z',
      checks: [],
    };
    const body = { ...fixtures.promotion, phase: 'Failed', finished: true, verification: run };
    const { network } = renderApp(live, ({ answers }) => {
      answers.set(`GET ${base}/test-000041`, { status: 200, body });
      answers.set('GET /api/v1/projects/checkout/pipeline', { status: 200, body: model });
      answers.set(
        'POST /api/v1/projects/checkout/stages/test/verify',
        problem(409, 'conflict', 'Promotion "test-000042" is under way'),
      );
    });
    await userEvent.click(await screen.findByRole('button', { name: 'Run the checks again' }));
    expect(await screen.findByRole('alert')).toHaveTextContent('Promotion "test-000042" is under way');
    expect(network.calls()).toContain('POST /api/v1/projects/checkout/stages/test/verify');
  });

  it('follows the stream', async () => {
    const { network } = renderApp(live);
    await screen.findByRole('list', { name: 'Steps' });
    await screen.findByText('Live');
    network.send(
      'promotion:checkout/test-000041',
      { ...fixtures.promotion, phase: 'Succeeded', finished: true, finishedAt: '2026-11-20T12:05:00Z' },
      101,
    );
    const steps = screen.getByRole('list', { name: 'Steps' });
    await waitFor(() =>
      expect(steps.querySelector<HTMLElement>('[data-step="rollout"]')?.dataset.state).toBe('Succeeded'),
    );
  });

  it('aborts with a reason', async () => {
    const { network } = renderApp(live, ({ answers }) =>
      answers.set(`POST ${base}/test-000041/abort`, { status: 202, body: fixtures.promotion }),
    );
    await userEvent.click(await screen.findByRole('button', { name: 'Abort…' }));
    const dialog = await screen.findByRole('dialog', { name: 'Abort test-000041' });
    expect(within(dialog).getByText(/Its commit is in Git and stays there/)).toBeVisible();
    await userEvent.type(within(dialog).getByRole('textbox', { name: 'Reason' }), 'wrong version');
    await userEvent.click(within(dialog).getByRole('button', { name: 'Abort' }));
    expect(await screen.findByText('test-000041 is being aborted.')).toBeVisible();
    expect(network.recorded.find(({ call }) => call.startsWith('POST'))?.body).toEqual({ reason: 'wrong version' });
  });

  it('shows what changed, and the object as YAML', async () => {
    const address = '/api/v1/projects/checkout/definitions/promotions/test-000041';
    const { history } = renderApp(live, ({ answers }) =>
      answers.set(`GET ${address}`, { status: 200, body: { kind: 'Promotion', metadata: { name: 'test-000041' } } }),
    );
    const tabs = await screen.findByRole('navigation', { name: 'Parts of the promotion' });
    await userEvent.click(within(tabs).getByRole('button', { name: 'Changes' }));
    expect(await screen.findByText(/4c1d2e7a9b0c3d5e/)).toBeVisible();
    await userEvent.click(within(tabs).getByRole('button', { name: 'YAML' }));
    expect(await screen.findByText(/name: test-000041/)).toBeVisible();
    expect(history.location.search).toContain('tab=yaml');
  });

  it('error of the YAML has its request id', async () => {
    const address = '/api/v1/projects/checkout/definitions/promotions/test-000041';
    renderApp(`${live}?tab=yaml`, ({ answers }) =>
      answers.set(`GET ${address}`, problem(403, 'forbidden', 'you may not read it')),
    );
    expect(await screen.findByText('req-7')).toBeVisible();
  });
});
