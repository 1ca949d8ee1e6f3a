import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, type Network, never, problem, renderApp } from '../test/app';
import { expectAccessible } from '../test/axe';

const base = '/api/v1/projects/checkout/promotions/prod-eu-000012';
const drawer = '/projects/checkout?view=list&review=prod-eu-000012';
const hash = fixtures.review.planHash;
const plan = `GET ${base}/plan`;

async function open(change?: (network: Network) => void) {
  const app = renderApp(drawer, change);
  const dialog = await screen.findByRole('dialog', { name: 'Promote to prod-eu' });
  return { ...app, dialog };
}

const posted = (network: Network) => network.recorded.find(({ call }) => call.startsWith('POST'));

describe('deciding about a promotion', () => {
  it('a promotion that runs and asks in one of its steps is decided about in the same way', async () => {
    const asking = {
      ...fixtures.review,
      phase: 'Running',
      gates: [],
      approvalNeed: { need: 2, have: 1, step: 'agree' },
    };
    const { dialog } = await open(({ answers }) => answers.set(`GET ${base}`, { status: 200, body: asking }));
    expect(await within(dialog).findByText('Waiting · 1 more approval')).toBeVisible();
    expect(within(dialog).getByRole('button', { name: /^Approve/ })).toBeVisible();
  });

  it('shows the plan: request, risks, artifacts, gates, commits, manifests with deletions first', async () => {
    const { container, dialog } = await open();
    expect(await within(dialog).findByText('2 things to look at.')).toBeVisible();
    const risks = within(dialog).getByRole('list', { name: 'Risks' });
    expect(within(risks).getAllByRole('listitem')[0]).toHaveTextContent('ConfigMap checkout-legacy');
    expect(within(dialog).getByText('Waiting · 1 more approval')).toBeVisible();
    expect(within(dialog).getByText(/this is a no-op for buyers/)).toBeVisible();
    const gates = within(dialog).getByRole('list', { name: 'Gates' });
    expect(within(gates).getByText('1 of 2 approvals, by a.khan')).toBeVisible();
    expect(within(gates).getByText('a.khan approved')).toBeVisible();
    expect(within(dialog).getByText('Raise memory limit to 768Mi')).toBeVisible();
    const objects = [...dialog.querySelectorAll<HTMLElement>('[data-object]')];
    expect(objects.map((each) => `${each.dataset.object} ${each.dataset.change}`)).toEqual([
      'checkout-legacy deleted',
      'checkout-api changed',
      'checkout changed',
      'checkout-api changed',
    ]);
    expect(within(objects[0] as HTMLElement).getByText('will be deleted')).toBeVisible();
    expect([...(objects[1]?.querySelectorAll('mark') ?? [])].map((mark) => mark.textContent)).toContain('512Mi');
    expect(within(objects[1] as HTMLElement).getByText('The cluster differs from Git here already')).toBeVisible();
    expect(within(dialog).getByText('1 commit rides along, not tested in staging.')).toBeVisible();
    const drifted = within(dialog).getByRole('region', { name: 'Service / checkout-api' });
    expect(drifted).toHaveTextContent('spec.selector.appcheckout-api → canary');
    await expectAccessible(container);
  });

  it('approves the plan in view, with the comment', async () => {
    const { network, dialog } = await open(({ answers }) =>
      answers.set(`POST ${base}/approve`, { status: 200, body: { ...fixtures.review, phase: 'Running' } }),
    );
    await within(dialog).findByText('2 things to look at.');
    await userEvent.type(within(dialog).getByRole('textbox', { name: 'Comment' }), ' looks good ');
    await userEvent.click(within(dialog).getByRole('button', { name: 'Approve' }));
    expect(await screen.findByText('You approved 2.14.0 for prod-eu.')).toBeVisible();
    expect(posted(network)).toMatchObject({ body: { planHash: hash, reason: 'looks good' } });
    expect(await within(dialog).findByText(/has been approved and is on its way/)).toBeVisible();
    expect(within(dialog).queryByRole('button', { name: 'Approve' })).toBeNull();
  });

  it('approves by the chord', async () => {
    const { network, dialog } = await open(({ answers }) =>
      answers.set(`POST ${base}/approve`, { status: 200, body: fixtures.review }),
    );
    await within(dialog).findByText('2 things to look at.');
    await waitFor(() => expect(within(dialog).getByRole('button', { name: 'Approve' })).toBeEnabled());
    await userEvent.keyboard('{Control>}{Enter}{/Control}');
    await waitFor(() => expect(posted(network)?.call).toBe(`POST ${base}/approve`));
  });

  it('rejects with a reason only', async () => {
    const { network, dialog } = await open(({ answers }) =>
      answers.set(`POST ${base}/reject`, {
        status: 200,
        body: { ...fixtures.review, phase: 'Failed', finished: true },
      }),
    );
    await within(dialog).findByText('2 things to look at.');
    await userEvent.click(within(dialog).getByRole('button', { name: 'Reject…' }));
    const button = within(dialog).getByRole('button', { name: 'Reject' });
    expect(button).toBeDisabled();
    expect(within(dialog).getByText(/A rejection needs a reason/)).toBeVisible();
    const field = within(dialog).getByRole('textbox', { name: 'Reason' });
    expect(field).toHaveFocus();
    await userEvent.type(field, 'money is at stake');
    await userEvent.click(button);
    expect(await screen.findByText('You rejected 2.14.0 for prod-eu.')).toBeVisible();
    expect(posted(network)).toMatchObject({
      call: `POST ${base}/reject`,
      body: { planHash: hash, reason: 'money is at stake' },
    });
  });

  it('has the plan reviewed again when the server says that it changed', async () => {
    const changed = { ...fixtures.reviewPlan, planHash: `sha256:${'c3'.repeat(32)}` };
    const { network, dialog } = await open(({ answers }) =>
      answers.set(`POST ${base}/approve`, problem(409, 'plan-changed', 'the plan is another one than you saw')),
    );
    await within(dialog).findByText('2 things to look at.');
    await userEvent.click(within(dialog).getByRole('button', { name: 'Approve' }));
    const again = await within(dialog).findByRole('button', { name: 'Changed, review again' });
    network.answers.set(plan, { status: 200, body: changed });
    network.answers.set(`GET ${base}`, { status: 200, body: { ...fixtures.review, planHash: changed.planHash } });
    network.answers.set(`POST ${base}/approve`, { status: 200, body: fixtures.review });
    await userEvent.click(again);
    await userEvent.click(await within(dialog).findByRole('button', { name: 'Approve' }));
    await waitFor(() =>
      expect(network.recorded.filter(({ call }) => call.startsWith('POST')).map(({ body }) => body)).toEqual([
        { planHash: hash },
        { planHash: changed.planHash },
      ]),
    );
  });

  it('sees by the stream that the plan changed, before anything is sent', async () => {
    const { network, dialog } = await open();
    await within(dialog).findByText('2 things to look at.');
    await screen.findByText('Live');
    network.send(
      'promotion:checkout/prod-eu-000012',
      { ...fixtures.review, planHash: `sha256:${'d4'.repeat(32)}`, cursor: '101' },
      101,
    );
    expect(await within(dialog).findByRole('button', { name: 'Changed, review again' })).toBeEnabled();
    expect(posted(network)).toBeUndefined();
  });

  it('says in the words of the server why one may not decide', async () => {
    const inbox = structuredClone(fixtures.inbox);
    Object.assign(inbox.approvals[0] ?? {}, { mayDecide: false, mayNot: 'you requested it' });
    const { dialog } = await open(({ answers }) => answers.set('GET /api/v1/inbox', { status: 200, body: inbox }));
    expect(await within(dialog).findByText('You requested it.')).toBeVisible();
    expect(within(dialog).getByRole('button', { name: 'Approve' })).toBeDisabled();
  });

  it('forbidden: says which right is missing', async () => {
    const permissions = structuredClone(fixtures.permissions);
    for (const each of permissions.stages) each.approve = false;
    const { dialog } = await open(({ answers }) =>
      answers.set('GET /api/v1/me/permissions?project=checkout', { status: 200, body: permissions }),
    );
    expect(await within(dialog).findByText(/needs the verb approve on this Stage/)).toBeVisible();
    expect(within(dialog).getByRole('button', { name: 'Approve' })).toBeDisabled();
  });

  it('does not act on old data', async () => {
    const { network, dialog } = await open();
    await within(dialog).findByText('2 things to look at.');
    await screen.findByText('Live');
    network.hangUp();
    expect(await within(dialog).findByText(/The connection is lost/)).toBeVisible();
    expect(within(dialog).getByRole('button', { name: 'Approve' })).toBeDisabled();
  });

  it('loading: the plan takes its time, nothing can be approved meanwhile', async () => {
    const { dialog } = await open(({ answers }) => answers.set(plan, never()));
    expect(
      await within(dialog)
        .findByText('No reason was given.')
        .catch(() => null),
    ).toBeNull();
    expect(dialog.querySelector('[aria-busy="true"]')).not.toBeNull();
  });

  it('error: a plan that cannot be made has its request id, and cannot be approved', async () => {
    const { dialog } = await open(({ answers }) => answers.set(plan, problem(500, 'internal', 'internal error')));
    const alert = await within(dialog).findByRole('alert');
    expect(within(alert).getByText('The plan could not be loaded')).toBeVisible();
    expect(within(alert).getByText('req-7')).toBeVisible();
    expect(within(dialog).getByRole('button', { name: 'Approve' })).toBeDisabled();
  });

  it('shows what one decided, and takes it back', async () => {
    const inbox = structuredClone(fixtures.inbox);
    const [item] = inbox.approvals.splice(0, 1);
    const decision = fixtures.review.approvals?.[0];
    if (!item || !decision) throw new Error('the fixture has no approval');
    inbox.done.unshift({ ...item, decision });
    const { network, dialog } = await open(({ answers }) => {
      answers.set('GET /api/v1/inbox', { status: 200, body: inbox });
      answers.set(`POST ${base}/revoke`, { status: 200, body: fixtures.review });
    });
    expect(await within(dialog).findByText(/You approved this/)).toBeVisible();
    await userEvent.click(within(dialog).getByRole('button', { name: 'Take it back' }));
    await waitFor(() => expect(posted(network)?.call).toBe(`POST ${base}/revoke`));
  });

  it('is a page of its own, for links', async () => {
    const { container } = renderApp('/projects/checkout/review/prod-eu-000012');
    expect(await screen.findByRole('heading', { name: 'Promote to prod-eu', level: 1 })).toBeVisible();
    expect(await screen.findByText('2 things to look at.')).toBeVisible();
    await expectAccessible(container);
  });

  it('says that a promotion is not there', async () => {
    renderApp('/projects/checkout/review/gone');
    expect(await screen.findByText('The promotion gone does not exist, or you may not see it')).toBeVisible();
  });
});
