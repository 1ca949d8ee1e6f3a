import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';

const page = '/projects/checkout/sources';
const pipeline = 'GET /api/v1/projects/checkout/pipeline';
const webhooks = 'GET /api/v1/projects/checkout/webhooks';

describe('sources', () => {
  it('loading: the shape of what is coming', async () => {
    renderApp(page, ({ answers }) => answers.set(pipeline, never()));
    expect(await screen.findByLabelText('Loading the sources')).toBeInTheDocument();
  });

  it('empty: says how to begin', async () => {
    const { container } = renderApp(page, ({ answers }) => {
      answers.set(pipeline, { status: 200, body: { ...structuredClone(fixtures.pipeline), warehouses: [] } });
      answers.set(webhooks, { status: 200, body: { items: [] } });
    });
    expect(await screen.findByText(/has no Warehouse yet/)).toBeVisible();
    expect(await screen.findByText(/No webhook receiver/)).toBeVisible();
    await expectAccessible(container);
  });

  it('error: with the request id, and one part that fails hides no other', async () => {
    renderApp(page, ({ answers }) => answers.set(pipeline, problem(500, 'internal', 'internal error')));
    expect(await screen.findByText('The sources of checkout could not be loaded')).toBeVisible();
    expect(screen.getByText('req-7')).toBeVisible();
  });

  it('error of the webhooks: the Warehouses stay', async () => {
    renderApp(page, ({ answers }) => answers.set(webhooks, problem(500, 'internal', 'internal error')));
    expect(await screen.findByText('The webhook receivers could not be loaded')).toBeVisible();
    expect(screen.getByRole('region', { name: 'Warehouse checkout' })).toBeVisible();
  });

  it('full: what each subscription found and cost, what is refused, and what was delivered', async () => {
    const { container } = renderApp(page);
    const warehouse = await screen.findByRole('region', { name: 'Warehouse checkout' });
    expect(within(warehouse).getByText('registry.example.com/acme/checkout-api')).toBeVisible();
    expect(within(warehouse).getByText('2.15.0')).toBeVisible();
    expect(within(warehouse).getByText('signed by key')).toBeVisible();
    expect(within(warehouse).getByText(/SignatureMissing: nobody signed it/)).toBeVisible();
    expect(within(warehouse).getByText(/1 request/)).toBeVisible();
    expect(within(warehouse).getByText(/shared/)).toBeVisible();
    const github = await screen.findByRole('region', { name: 'Webhook github' });
    expect(within(github).getByText(/12 woke something, 3 ignored, 1 refused, 0 malformed\./)).toBeVisible();
    expect(within(github).getByText('it was delivered before')).toBeVisible();
    expect(within(github).getByText('warehouse/checkout')).toBeVisible();
    const harbor = screen.getByRole('region', { name: 'Webhook harbor' });
    expect(within(harbor).getByText(/No Secret "hooks" with the label/)).toBeVisible();
    await expectAccessible(container);
  });

  it('a subscription that fails says why', async () => {
    const broken = structuredClone(fixtures.pipeline);
    const [first] = broken.warehouses[0]?.subscriptions ?? [];
    if (first) Object.assign(first, { error: 'list tags of "x": access denied (status 403)', reason: 'AccessDenied' });
    renderApp(page, ({ answers }) => answers.set(pipeline, { status: 200, body: broken }));
    expect(await screen.findByText('List tags of "x": access denied (status 403).')).toBeVisible();
    expect(screen.getByLabelText('failing')).toBeVisible();
  });

  it('is reached from the Warehouse in the pipeline', async () => {
    const { history } = renderApp('/projects/checkout?view=list');
    await userEvent.click(await screen.findByRole('link', { name: 'checkout', description: /what it watches/ }));
    expect(await screen.findByRole('heading', { name: 'Sources' })).toBeVisible();
    expect(history.location.pathname).toBe(page);
  });
});
