import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { StageCell } from '../../api/types';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';
import { columns } from './ProjectCard';

const list = 'GET /api/v1/projects';

describe('projects page', () => {
  it('loading: the shape of what is coming', async () => {
    const { container } = renderApp('/projects', ({ answers }) => answers.set(list, never()));
    expect(await screen.findByLabelText('Loading projects')).toBeInTheDocument();
    await expectAccessible(container);
  });

  it('empty: a manifest and a command to copy', async () => {
    const { container } = renderApp('/projects', ({ answers }) =>
      answers.set(list, { status: 200, body: { cursor: '1', items: [], counts: [] } }),
    );
    expect(await screen.findByText('No projects yet')).toBeVisible();
    expect(screen.getByText('waybill apply -f project.yaml')).toBeVisible();
    await expectAccessible(container);
  });

  it('error: what is wrong, the request id, and another try', async () => {
    const { network, container } = renderApp('/projects', ({ answers }) =>
      answers.set(list, problem(500, 'internal', 'internal error')),
    );
    expect(await screen.findByText('The list of projects could not be loaded')).toBeVisible();
    expect(screen.getByText('req-7')).toBeVisible();
    await expectAccessible(container);
    network.answers.set(list, { status: 200, body: fixtures.projects });
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect(await screen.findByRole('article', { name: 'identity' })).toBeVisible();
  });

  it('full: those that need a look come first, each with its Stages', async () => {
    const { container } = renderApp('/projects');
    const look = await screen.findByRole('region', { name: 'Needs a look' });
    expect(
      within(look)
        .getAllByRole('article')
        .map((card) => card.dataset.project),
    ).toEqual(['identity', 'checkout', 'fulfilment', 'pricing-rules', 'search']);
    const checkout = screen.getByRole('article', { name: 'checkout' });
    expect(within(checkout).getByText('prod-apac')).toBeVisible();
    expect(within(checkout).getByText('2.13.2')).toBeVisible();
    expect(within(checkout).getByText('2.14.0 waits to enter prod-eu')).toBeVisible();
    await expectAccessible(container);
  });

  it('leads to the Stage that the next action names, with its dialog open', async () => {
    const model = structuredClone(fixtures.projects);
    const checkout = model.items.find((item) => item.name === 'checkout');
    if (checkout) {
      checkout.status.nextAction = {
        verb: 'rollback',
        label: 'Roll back…',
        command: 'waybill rollback checkout/prod-eu',
      };
    }
    renderApp('/projects', ({ answers }) => answers.set(list, { status: 200, body: model }));
    const link = await screen.findByRole('link', { name: 'Roll back…: checkout' });
    expect(link).toHaveAttribute('href', '/projects/checkout?rollback=prod-eu');
    expect(screen.getByRole('link', { name: 'See drift: fulfilment' })).toHaveAttribute('href', '/projects/fulfilment');
  });

  it('filters by word and by name, in the address', async () => {
    const { history } = renderApp('/projects');
    await userEvent.click(await screen.findByRole('button', { name: /Failed/ }));
    expect(screen.getAllByRole('article')).toHaveLength(1);
    expect(history.location.search).toBe('?status=Failed');
    await userEvent.click(screen.getByRole('button', { name: /All/ }));
    await userEvent.type(screen.getByRole('textbox', { name: 'Filter projects' }), 'search');
    await waitFor(() => expect(screen.getAllByRole('article').map((card) => card.dataset.project)).toEqual(['search']));
  });

  it('is replaced by what the stream sends, without another call', async () => {
    const { network } = renderApp('/projects');
    await screen.findByRole('article', { name: 'identity' });
    await screen.findByText('Live');
    const before = network.calls().length;
    const model = structuredClone(fixtures.projects);
    model.items = model.items.filter((item) => item.name === 'catalog');
    network.send('projects', model, 101);
    await waitFor(() =>
      expect(screen.getAllByRole('article').map((card) => card.dataset.project)).toEqual(['catalog']),
    );
    expect(network.calls()).toHaveLength(before);
  });
});

describe('columns', () => {
  const cells = (count: number, change: Partial<StageCell>[] = []): StageCell[] =>
    Array.from({ length: count }, (_, i) => ({
      name: `s${i}`,
      rank: 1,
      version: '1.0.0',
      status: 'Healthy',
      ...change[i],
    }));

  it('keeps up to five side by side', () => {
    expect(columns(cells(5))[0]).toHaveLength(5);
  });

  it('counts more than five and shows the worst of them', () => {
    expect(columns(cells(6, [{}, { status: 'Failed' }]))).toEqual([
      [{ key: 'rank-1', label: '6 stages', version: '1.0.0', status: 'Failed' }],
    ]);
  });

  it('does not claim one version where there are two', () => {
    expect(columns(cells(6, [{ version: '2.0.0' }]))[0]?.[0]?.version).toBe('2 versions');
  });
});
