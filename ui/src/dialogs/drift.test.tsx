import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, problem, renderApp } from '../test/app';
import { expectAccessible } from '../test/axe';

const page = '/projects/checkout/stages/prod-us';
const app = '/api/v1/projects/checkout/applications/prod-us';

describe('drift of a Stage', () => {
  it('heals one object now, and says what that takes back and who changed it', async () => {
    const { container, network } = renderApp(page, ({ answers }) =>
      answers.set(`POST ${app}/sync`, { status: 202, body: { request: 'r1' } }),
    );
    const card = await screen.findByRole('region', { name: 'Drift' });
    await userEvent.click(await within(card).findByRole('button', { name: /^Heal now: spec\.maxReplicas/ }));
    const dialog = await screen.findByRole('dialog', { name: 'Heal HorizontalPodAutoscaler/checkout-api now' });
    expect(within(dialog).getByText('Field manager kubectl-patch changed it')).toBeVisible();
    expect(within(dialog).getByText(/applied whole, as Git says/)).toBeVisible();
    await expectAccessible(container);
    await userEvent.click(within(dialog).getByRole('button', { name: 'Heal now' }));
    expect(await screen.findByText(/is being made as Git says/)).toBeVisible();
    expect(network.recorded.find(({ call }) => call === `POST ${app}/sync`)?.body).toMatchObject({
      resources: [{ kind: 'HorizontalPodAutoscaler', name: 'checkout-api' }],
    });
  });

  it('accepts the value that was seen, and shows why the server refuses', async () => {
    const { network } = renderApp(page, ({ answers }) =>
      answers.set(`POST ${app}/accept`, problem(409, 'conflict', 'spec.maxReplicas is 60 by now, and no longer 40')),
    );
    const card = await screen.findByRole('region', { name: 'Drift' });
    await userEvent.click(await within(card).findByRole('button', { name: /^Accept spec\.maxReplicas/ }));
    const dialog = await screen.findByRole('dialog', { name: /^Accept spec\.maxReplicas of/ });
    expect(within(dialog).getByText('The next promotion overwrites it')).toBeVisible();
    await userEvent.type(within(dialog).getByRole('textbox', { name: 'Reason' }), 'sale');
    await userEvent.click(within(dialog).getByRole('button', { name: 'Accept' }));
    expect(await within(dialog).findByText(/no longer 40/)).toBeVisible();
    expect(network.recorded.find(({ call }) => call === `POST ${app}/accept`)?.body).toMatchObject({
      reason: 'sale',
      fields: [{ name: 'checkout-api', field: 'spec.maxReplicas', seen: '40' }],
    });
  });

  it('offers nothing to who may not, and nothing about what was healed', async () => {
    const permissions = structuredClone(fixtures.permissions);
    permissions.accept = false;
    const mine = permissions.stages.find((each) => each.stage === 'prod-us');
    if (mine) mine.hold = false;
    renderApp(page, ({ answers }) =>
      answers.set('GET /api/v1/me/permissions?project=checkout', { status: 200, body: permissions }),
    );
    const card = await screen.findByRole('region', { name: 'Drift' });
    expect(await within(card).findAllByRole('button', { name: /^Heal / })).toHaveLength(2);
    expect(within(card).queryByRole('button', { name: /^Accept / })).toBeNull();
    expect(within(card).queryByRole('button', { name: /Pause healing/ })).toBeNull();
  });
});
