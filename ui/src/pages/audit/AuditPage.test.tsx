import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';

const audit = '/api/v1/projects/checkout/audit';
const page = '/projects/checkout/audit';

describe('audit trail', () => {
  it('loading: the shape of what is coming', async () => {
    const { container } = renderApp(page, ({ answers }) => answers.set(`GET ${audit}`, never()));
    expect(await screen.findByLabelText('Loading the audit trail')).toBeInTheDocument();
    await expectAccessible(container);
  });

  it('error: the store does not answer, with the request id', async () => {
    renderApp(page, ({ answers }) =>
      answers.set(`GET ${audit}`, problem(503, 'unavailable', 'the history store does not answer')),
    );
    expect(await screen.findByText('req-7')).toBeVisible();
  });

  it('empty: says so', async () => {
    renderApp(page, ({ answers }) => answers.set(`GET ${audit}`, { status: 200, body: { items: [] } }));
    expect(await screen.findByText('Nothing of this is recorded yet.')).toBeVisible();
  });

  it('full: who did what where, and why', async () => {
    const { container } = renderApp(page);
    const entries = within(await screen.findByRole('list', { name: 'Entries' })).getAllByRole('listitem');
    const approve = entries.find((each) => within(each).queryByText('approve'));
    expect(approve).toHaveTextContent('prod-eu');
    expect(approve).toHaveTextContent('looks good');
    expect(approve).toHaveTextContent('alice');
    const heal = entries.find((each) => within(each).queryByText('heal'));
    expect(heal).toHaveTextContent('Deployment checkout/checkout-api: spec.replicas');
    expect(heal).toHaveTextContent('by kubectl-scale');
    expect(screen.getByText('waybill audit verify')).toBeVisible();
    await expectAccessible(container);
  });

  it('shows one group, from the address', async () => {
    const { network } = renderApp(page, ({ answers }) =>
      answers.set(`GET ${audit}?action=apply&action=delete`, { status: 200, body: { items: [] } }),
    );
    await userEvent.click(await screen.findByRole('link', { name: 'Definitions' }));
    expect(await screen.findByText('Nothing of this is recorded yet.')).toBeVisible();
    expect(screen.getByRole('link', { name: 'Definitions' })).toHaveAttribute('aria-current', 'page');
    expect(screen.getByRole('link', { name: 'Everything' })).not.toHaveAttribute('aria-current');
    expect(network.calls()).toContain(`GET ${audit}?action=apply&action=delete`);
  });

  it('shows older entries behind the newer ones', async () => {
    const older = { at: '2026-01-01T00:00:00Z', action: 'thaw', stage: '*', reason: 'long ago' };
    renderApp(page, ({ answers }) => {
      answers.set(`GET ${audit}`, { status: 200, body: { ...fixtures.audit, nextPage: 'n=1' } });
      answers.set(`GET ${audit}?page=n%3D1`, { status: 200, body: { items: [older] } });
    });
    await userEvent.click(await screen.findByRole('button', { name: 'Show older' }));
    expect(await screen.findByText('long ago')).toBeVisible();
    expect(screen.queryByRole('button', { name: 'Show older' })).toBeNull();
  });

  it('is a step from the pipeline', async () => {
    renderApp('/projects/checkout');
    expect(await screen.findByRole('link', { name: 'Audit trail of checkout' })).toHaveAttribute('href', page);
  });
});
