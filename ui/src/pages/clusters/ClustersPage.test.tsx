import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';

const clusters = '/api/v1/clusters';

describe('clusters', () => {
  it('loading: the shape of what is coming', async () => {
    const { container } = renderApp('/clusters', ({ answers }) => answers.set(`GET ${clusters}`, never()));
    expect(await screen.findByLabelText('Loading the clusters')).toBeInTheDocument();
    await expectAccessible(container);
  });

  it('error: one may not see them, with the request id', async () => {
    renderApp('/clusters', ({ answers }) =>
      answers.set(`GET ${clusters}`, problem(403, 'forbidden', 'you may not list clusters')),
    );
    expect(await screen.findByText('req-7')).toBeVisible();
  });

  it('empty: only the cluster Waybill runs in, and how to add one', async () => {
    renderApp('/clusters', ({ answers }) =>
      answers.set(`GET ${clusters}`, { status: 200, body: { items: fixtures.clusters.items.slice(0, 1) } }),
    );
    const card = await screen.findByRole('region', { name: 'in-cluster' });
    expect(within(card).queryByRole('button')).toBeNull();
    expect(screen.getByText('waybill cluster add west --kube-context west-admin')).toBeVisible();
  });

  it('full: state, version, Applications, and why one is silent since when', async () => {
    const { container } = renderApp('/clusters');
    const silent = await screen.findByRole('region', { name: 'prod-apac' });
    expect(within(silent).getByText('Unknown')).toBeVisible();
    expect(within(silent).getByText(/connection refused.*So for/)).toBeVisible();
    expect(within(silent).getByText('2 deploy here')).toBeVisible();
    expect(within(silent).getByText('v1.35.1')).toBeVisible();
    expect(within(screen.getByRole('region', { name: 'lab' })).getByText('Failed')).toBeVisible();
    expect(screen.getAllByRole('link', { name: 'Clusters' })[0]).toHaveAttribute('aria-current', 'page');
    await expectAccessible(container);
  });

  it('tests one, and shows what the server says', async () => {
    const { network } = renderApp('/clusters', ({ answers }) =>
      answers.set(`POST ${clusters}/prod-apac/test`, { status: 202, body: { request: 'r' } }),
    );
    await userEvent.click(await screen.findByRole('button', { name: 'Test prod-apac' }));
    expect(await screen.findByText('prod-apac is being asked.')).toBeVisible();
    expect(network.calls()).toContain(`POST ${clusters}/prod-apac/test`);
  });

  it('replaces a kubeconfig', async () => {
    const { network } = renderApp('/clusters', ({ answers }) =>
      answers.set(`POST ${clusters}/lab/rotate`, { status: 202, body: { request: 'r' } }),
    );
    await userEvent.click(await screen.findByRole('button', { name: 'Rotate the credentials of lab' }));
    const dialog = await screen.findByRole('dialog', { name: 'Rotate the credentials of lab' });
    expect(within(dialog).getByRole('button', { name: 'Rotate' })).toBeDisabled();
    await userEvent.type(within(dialog).getByRole('textbox', { name: 'Kubeconfig' }), 'k');
    await userEvent.click(within(dialog).getByRole('button', { name: 'Rotate' }));
    expect(await screen.findByText(/asked with the new credentials/)).toBeVisible();
    expect(network.recorded.find(({ call }) => call.startsWith('POST'))?.body).toEqual({ kubeconfig: 'k' });
  });

  it('removes one that is used only by who says so', async () => {
    const { network } = renderApp('/clusters?remove=prod-eu', ({ answers }) =>
      answers.set(`DELETE ${clusters}/prod-eu?force=true`, { status: 204 }),
    );
    const dialog = await screen.findByRole('dialog', { name: 'Remove prod-eu' });
    expect(within(dialog).getByRole('button', { name: 'Remove' })).toBeDisabled();
    await userEvent.click(within(dialog).getByRole('checkbox', { name: /3 Applications deploy here/ }));
    await userEvent.click(within(dialog).getByRole('button', { name: 'Remove' }));
    expect(await screen.findByText('prod-eu is forgotten.')).toBeVisible();
    expect(network.calls()).toContain(`DELETE ${clusters}/prod-eu?force=true`);
  });

  it('offers nothing to who may only look, and no link to who may not', async () => {
    renderApp('/clusters', ({ answers }) =>
      answers.set('GET /api/v1/me/permissions', { status: 200, body: { createProjects: false } }),
    );
    await screen.findByRole('region', { name: 'prod-eu' });
    expect(screen.queryByRole('button', { name: /^(Test|Rotate|Remove)/ })).toBeNull();
    expect(screen.queryByRole('link', { name: 'Clusters' })).toBeNull();
  });
});
