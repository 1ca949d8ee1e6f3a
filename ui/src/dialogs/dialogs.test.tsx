import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, problem, renderApp } from '../test/app';
import { expectAccessible } from '../test/axe';
import { beenText } from './WhyDialog';

const base = '/api/v1/projects/checkout/stages';
const freight = fixtures.plan.freight.name;
const promoteAddress = `/projects/checkout?view=list&promote=prod-eu&with=${freight}`;
const planCall = `GET ${base}/prod-eu/plan?freight=${freight}`;

describe('promote dialog', () => {
  it('shows what changes and what it will wait for', async () => {
    const { container } = renderApp(promoteAddress);
    const dialog = await screen.findByRole('dialog', { name: 'Promote into prod-eu' });
    expect(await within(dialog).findByText('The promotion will wait')).toBeVisible();
    expect(within(dialog).getByText(/is not settled: Deployment\/checkout-api has 11 of 12 pods ready/)).toBeVisible();
    expect(within(dialog).getByText('A commit on stage/prod-eu')).toBeVisible();
    const file = within(dialog).getByRole('region', { name: 'stages/prod-eu/kustomization.yaml' });
    expect(within(file).getByText('images[0].newTag')).toBeVisible();
    expect([...file.querySelectorAll('mark')].slice(0, 2).map((mark) => mark.textContent)).toEqual(['13.4', '14.0']);
    await expectAccessible(container);
  });

  it('asks for the promotion with the reason, guarded against forgery and repetition', async () => {
    const { network, history } = renderApp(promoteAddress, ({ answers }) =>
      answers.set(`POST ${base}/prod-eu/promotions`, { status: 202, body: fixtures.stage.promotions[0] }),
    );
    const button = await screen.findByRole('button', { name: 'Promote 2.14.0' });
    await screen.findByText('A commit on stage/prod-eu');
    await userEvent.type(screen.getByRole('textbox', { name: 'Reason' }), ' release train 46 ');
    await userEvent.click(button);
    expect(await screen.findByText('Promotion of 2.14.0 into prod-eu was accepted.')).toBeVisible();
    const post = network.recorded.find(({ call }) => call.startsWith('POST'));
    expect(post?.body).toEqual({ freight, reason: 'release train 46' });
    expect(post?.headers['x-waybill-csrf']).toBe('1');
    expect(post?.headers['idempotency-key']).toMatch(/^[0-9a-f]{32}$/);
    await waitFor(() => expect(history.location.search).not.toContain('promote='));
  });

  it('lists every gate the server refused with', async () => {
    const gate = (name: string, reason: string) => ({ gate: name, group: 'Entry', open: false, reason });
    renderApp(promoteAddress, ({ answers }) =>
      answers.set(
        `POST ${base}/prod-eu/promotions`,
        problem(409, 'gate-closed', 'two gates are closed', {
          blockedBy: [gate('upstream', 'not verified in "staging"'), gate('soak', 'soaking until 14:30Z')],
        }),
      ),
    );
    await screen.findByText('A commit on stage/prod-eu');
    await userEvent.click(screen.getByRole('button', { name: 'Promote 2.14.0' }));
    const alert = await screen.findByRole('alert');
    expect(within(alert).getByText('Two gates are closed.')).toBeVisible();
    expect(within(alert).getByText('not verified in "staging"')).toBeVisible();
    expect(within(alert).getByText('soaking until 14:30Z')).toBeVisible();
    expect(within(alert).getByText('req-7')).toBeVisible();
  });

  it('says why the button cannot be pressed: no right', async () => {
    const permissions = structuredClone(fixtures.permissions);
    for (const each of permissions.stages) each.promote = false;
    renderApp(promoteAddress, ({ answers }) =>
      answers.set('GET /api/v1/me/permissions?project=checkout', { status: 200, body: permissions }),
    );
    expect(await screen.findByText(/You may not promote into prod-eu/)).toBeVisible();
    expect(screen.getByRole('button', { name: 'Promote 2.14.0' })).toBeDisabled();
  });

  it('passes a closed gate only with the right to, a tick and a reason', async () => {
    const plan = structuredClone(fixtures.plan);
    plan.mayPromote = false;
    plan.gates = [{ gate: 'soak', group: 'Entry', open: false, reason: 'soaking in "staging" until 14:30Z' }];
    const { network } = renderApp(promoteAddress, ({ answers }) => {
      answers.set(planCall, { status: 200, body: plan });
      answers.set(`POST ${base}/prod-eu/promotions`, { status: 202, body: fixtures.stage.promotions[0] });
    });
    expect(await screen.findByText('2.14.0 cannot go into prod-eu now')).toBeVisible();
    const button = screen.getByRole('button', { name: 'Promote 2.14.0' });
    expect(button).toBeDisabled();
    expect(screen.getByText('A gate is closed, see above.')).toBeVisible();
    await userEvent.click(screen.getByRole('checkbox', { name: /Pass soak anyway/ }));
    expect(screen.getByText('Passing a gate needs a reason.')).toBeVisible();
    await userEvent.type(screen.getByRole('textbox', { name: 'Reason' }), 'hotfix');
    await userEvent.click(button);
    await waitFor(() =>
      expect(network.recorded.find(({ call }) => call.startsWith('POST'))?.body).toEqual({
        freight,
        reason: 'hotfix',
        bypass: ['soak'],
      }),
    );
  });

  it('does not act on old data', async () => {
    const { network } = renderApp(promoteAddress);
    await screen.findByText('A commit on stage/prod-eu');
    await screen.findByText('Live');
    network.hangUp();
    expect(await screen.findByText(/The connection is lost/)).toBeVisible();
    expect(screen.getByRole('button', { name: 'Promote 2.14.0' })).toBeDisabled();
  });

  it('promotes the plan in view, and shows the new one when it changed', async () => {
    const plan = { ...structuredClone(fixtures.reviewPlan), promotion: undefined };
    const { network } = renderApp(promoteAddress, ({ answers }) => {
      answers.set(planCall, { status: 200, body: plan });
      answers.set(
        `POST ${base}/prod-eu/promotions`,
        problem(409, 'plan-changed', 'the plan is another one than you saw'),
      );
    });
    expect(await screen.findByText('2 things to look at.')).toBeVisible();
    expect(screen.getByText('will be deleted')).toBeVisible();
    await userEvent.click(screen.getByRole('button', { name: 'Promote 2.14.0' }));
    network.answers.set(planCall, { status: 200, body: { ...plan, risks: [] } });
    await userEvent.click(await screen.findByRole('button', { name: 'Changed, review again' }));
    await waitFor(() => expect(screen.queryByText('2 things to look at.')).toBeNull());
    expect(await screen.findByRole('button', { name: 'Promote 2.14.0' })).toBeEnabled();
    expect(network.recorded.find(({ call }) => call.startsWith('POST'))?.body).toEqual({
      freight,
      planHash: plan.planHash,
    });
  });

  it('says that the plan could not be made', async () => {
    renderApp(promoteAddress, ({ answers }) => answers.set(planCall, problem(500, 'internal', 'internal error')));
    expect(await screen.findByText('The plan could not be loaded')).toBeVisible();
  });
});

describe('rollback dialog', () => {
  const address = '/projects/checkout?view=list&rollback=prod-eu';

  it('shows what changes in each object, what to look at, and what does not go back', async () => {
    renderApp(address);
    const dialog = await screen.findByRole('dialog', { name: 'Roll back prod-eu' });
    expect(await within(dialog).findByRole('region', { name: 'Deployment / checkout-api' })).toBeVisible();
    expect(within(dialog).getByRole('list', { name: 'Risks' })).toHaveTextContent('ConfigMap checkout-legacy');
    expect(within(dialog).getByText('What is not in Git does not go back')).toBeVisible();
    expect(within(dialog).getByText(/will be rejected here/)).toBeVisible();
  });

  it('preselects the last good version and says what else happens', async () => {
    const { container } = renderApp(address);
    expect(await screen.findByText('Last good version')).toBeVisible();
    expect(screen.getByRole('radio', { name: /2\.13\.2/ })).toBeChecked();
    expect(screen.getByText('The automatic flow will be held')).toBeVisible();
    expect(screen.getByText('prod-eu-000012 will be aborted')).toBeVisible();
    expect(within(screen.getByRole('dialog')).getByText(/Rejected: p95 latency/)).toBeVisible();
    await expectAccessible(container);
  });

  it('rolls back to the version in view', async () => {
    const { network } = renderApp(address, ({ answers }) =>
      answers.set(`POST ${base}/prod-eu/rollback`, { status: 202, body: fixtures.stage.promotions[0] }),
    );
    await userEvent.click(await screen.findByRole('button', { name: 'Roll back to 2.13.2' }));
    expect(await screen.findByText('Rollback of prod-eu to 2.13.2 was accepted.')).toBeVisible();
    expect(network.recorded.find(({ call }) => call.startsWith('POST'))?.body).toEqual({
      to: fixtures.rollback.to.name,
    });
  });

  it('says why it cannot be done', async () => {
    const { to: _, ...body } = structuredClone(fixtures.rollback);
    Object.assign(body, { mayRollback: false, reason: 'nothing ran here before', targets: [] });
    renderApp(address, ({ answers }) => answers.set(`GET ${base}/prod-eu/rollback`, { status: 200, body }));
    expect((await screen.findAllByText('Nothing ran here before.')).length).toBeGreaterThan(0);
    expect(screen.getByRole('button', { name: 'Roll back' })).toBeDisabled();
  });
});

describe('why dialog', () => {
  const address = `/projects/checkout?view=list&why=prod-us&with=${freight}`;

  it('lists all four closed gates in the words of the server, then the open ones', async () => {
    const { container } = renderApp(address);
    const closed = await screen.findByRole('list', { name: 'Closed gates' });
    const rows = within(closed).getAllByRole('listitem');
    expect(rows.map((row) => row.dataset.gate)).toEqual(['upstream', 'soak', 'hold', 'busy']);
    expect(rows[0]).toHaveTextContent('not verified in "prod-eu"');
    expect(rows[2]).toHaveTextContent('waybill resume checkout/prod-us');
    expect(screen.getByText(/4 gates are closed/)).toBeVisible();
    const open = await screen.findByRole('list', { name: 'Open gates' });
    expect(within(open).getAllByRole('listitem')).toHaveLength(4);
    expect(screen.getByText('waybill why 2.14.0 checkout/prod-us')).toBeVisible();
    await expectAccessible(container);
  });

  it('shows the checks upstream, and where the Freight has been verified and soaked', async () => {
    renderApp(address);
    const checks = await screen.findByRole('region', { name: 'Checks in staging' });
    expect(within(checks).getByText('0.0314')).toBeVisible();
    expect(within(checks).queryByRole('button', { name: /again/ })).toBeNull();
    expect(screen.getByRole('region', { name: 'Where it has been' })).toHaveTextContent(/was there|runs there/);
  });

  it('changes while one looks at it', async () => {
    const { network } = renderApp(address);
    await screen.findByText(/4 gates are closed/);
    await screen.findByText('Live');
    const model = structuredClone(fixtures.pipeline);
    const verdict = model.verdicts.find((each) => each.stage === 'prod-us' && each.freight === freight);
    verdict?.closed.splice(0, 3);
    network.send('pipeline:checkout', model, 101);
    expect(await screen.findByText(/1 gate is closed/)).toBeVisible();
  });

  it('closes by Escape and gives the address back', async () => {
    const { history } = renderApp(address);
    await screen.findByRole('dialog');
    await userEvent.keyboard('{Escape}');
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(history.location.search).toBe('?view=list');
  });
});

describe('beenText', () => {
  const now = new Date('2026-11-20T12:00:00Z');
  const been = (fields: object) => beenText({ stage: 'test', current: false, ...fields }, now);
  it('says that it is not verified', () => expect(been({})).toBe('was there, not verified'));
  it('adds what runs to what was soaked before', () =>
    expect(
      been({
        current: true,
        verifiedAt: '2026-11-20T11:00:00Z',
        soakingSince: '2026-11-20T11:30:00Z',
        soakedSeconds: 600,
      }),
    ).toBe('runs there, verified, soaked 40m 00s'));
  it('keeps the longest stretch', () => expect(been({ longestSoakSeconds: 7200 })).toContain('soaked 2h'));
});
