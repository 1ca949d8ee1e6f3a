import { screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { ResourceNode } from '../../api/types';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';
import { eventsOf, find, flat, grow, hasLogs } from './tree';

const page = '/projects/checkout/stages/prod-us/resources';
const tree = 'GET /api/v1/projects/checkout/applications/prod-us/tree';
const events = 'GET /api/v1/projects/checkout/applications/prod-us/events';
const pod = 'checkout-api-6c9f7d58b4-2xk9p';

describe('resources', () => {
  it('loading: the shape of what is coming', async () => {
    const { container } = renderApp(page, ({ answers }) => answers.set(tree, never()));
    expect(await screen.findByLabelText('Loading the resources')).toBeInTheDocument();
    await expectAccessible(container);
  });

  it('error: a cluster that does not answer, with the request id', async () => {
    renderApp(page, ({ answers }) => answers.set(tree, problem(503, 'unavailable', 'cluster "west" does not answer')));
    expect(await screen.findByText('Cluster "west" does not answer.')).toBeVisible();
    expect(screen.getByText('req-7')).toBeVisible();
  });

  it('empty: nothing applied, no event', async () => {
    renderApp(page, ({ answers }) => {
      answers.set(tree, { status: 200, body: { items: [] } });
      answers.set(events, { status: 200, body: { items: [] } });
    });
    expect(await screen.findByText(/Nothing is there yet/)).toBeVisible();
    expect(await screen.findByText(/Kubernetes forgets them/)).toBeVisible();
  });

  it('full: objects below their owners, drift named, events of all', async () => {
    const { container, network } = renderApp(page);
    const list = await screen.findByRole('list', { name: 'Objects of prod-us' });
    expect(within(list).getAllByRole('button')).toHaveLength(fixtures.tree.items.length);
    expect(within(list).getByRole('button', { name: /HorizontalPodAutoscaler.*spec\.maxReplicas/ })).toBeVisible();
    expect(within(list).getByRole('button', { name: /Missing.*Secret/ })).toBeVisible();
    expect(within(await screen.findByRole('list', { name: 'Events' })).getAllByRole('listitem')).toHaveLength(3);
    expect(network.calls().some((call) => call.includes('/logs'))).toBe(false);
    await expectAccessible(container);
  });

  it('one object: its cause, its events, and its logs only when asked for, by keyboard', async () => {
    const { container, network } = renderApp(page);
    const button = await screen.findByRole('button', { name: new RegExp(pod) });
    button.focus();
    await userEvent.keyboard('{Enter}');
    const detail = await screen.findByRole('region', { name: `Pod/${pod}` });
    expect(within(detail).getByText(/back-off 5m0s/)).toBeVisible();
    expect(within(await within(detail).findByRole('list', { name: 'Events' })).getAllByRole('listitem')).toHaveLength(
      1,
    );
    await userEvent.click(within(detail).getByRole('link', { name: 'Logs' }));
    expect(await screen.findByText(/no STRIPE_KEY/)).toBeVisible();
    expect(screen.getByRole('link', { name: 'Logs' })).toHaveAttribute('aria-current', 'page');
    expect(screen.getByRole('link', { name: 'Events' })).not.toHaveAttribute('aria-current');
    expect(screen.getByText(/is waiting to start/)).toBeVisible();
    expect(network.calls()).toContain(`GET /api/v1/projects/checkout/applications/prod-us/logs?kind=Pod&name=${pod}`);
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('button', { name: 'Show all' }));
    expect(await screen.findByRole('region', { name: 'All of prod-us' })).toBeVisible();
  });

  it('says when one may not read logs, and keeps the objects', async () => {
    renderApp(`${page}?tab=logs`, ({ answers }) =>
      answers.set(
        'GET /api/v1/projects/checkout/applications/prod-us/logs',
        problem(403, 'forbidden', 'you may not logs applications "prod-us"'),
      ),
    );
    expect(await screen.findByText('The log does not exist, or you may not see it')).toBeVisible();
    expect(screen.getByRole('list', { name: 'Objects of prod-us' })).toBeVisible();
  });

  it('is reached from the Stage', async () => {
    renderApp('/projects/checkout/stages/prod-us');
    await userEvent.click(await screen.findByRole('link', { name: 'Objects, events and logs' }));
    expect(await screen.findByRole('list', { name: 'Objects of prod-us' })).toBeVisible();
  });
});

describe('grow', () => {
  const nodes = fixtures.tree.items as ResourceNode[];

  it('puts what is owned below its owner, and keeps what has none in view', () => {
    const orphan = { kind: 'Pod', name: 'stray', uid: 'x', parent: 'nobody' };
    const itself = { kind: 'Pod', name: 'odd', uid: 'y', parent: 'y' };
    const branches = grow([...nodes, orphan, itself], []);
    expect(branches.flatMap(flat)).toHaveLength(nodes.length + 2);
    expect(branches.map(({ node }) => node.name)).toContain('stray');
    expect(branches.map(({ node }) => node.name)).toContain('odd');
  });

  it('knows what may have logs, and whose events are whose', () => {
    const branches = grow(nodes, []);
    const deployment = find(branches, 'apps/Deployment/checkout/checkout-api');
    const service = find(branches, '/Service/checkout/checkout-api');
    if (!deployment || !service) throw new Error('the fixture has both');
    expect([hasLogs(deployment), hasLogs(service)]).toEqual([true, false]);
    expect(eventsOf(fixtures.objectEvents.items, deployment)).toHaveLength(2);
    expect(eventsOf(fixtures.objectEvents.items, service)).toHaveLength(0);
  });
});
