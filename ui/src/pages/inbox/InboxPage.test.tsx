import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, never, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';

const get = 'GET /api/v1/inbox';
const empty = { cursor: '100', approvals: [], failed: [], drifted: [], done: [] };

describe('inbox', () => {
  it('loading: the shape of what is coming', async () => {
    renderApp('/inbox', ({ answers }) => answers.set(get, never()));
    expect(await screen.findByLabelText('Loading the inbox')).toBeInTheDocument();
  });

  it('empty: says what is going to appear', async () => {
    const { container } = renderApp('/inbox', ({ answers }) => answers.set(get, { status: 200, body: empty }));
    expect(await screen.findByText('Nothing waits for you')).toBeVisible();
    await expectAccessible(container);
  });

  it('error: with the request id', async () => {
    renderApp('/inbox', ({ answers }) => answers.set(get, problem(500, 'internal', 'internal error')));
    expect(await screen.findByText('The inbox could not be loaded')).toBeVisible();
    expect(screen.getByText('req-7')).toBeVisible();
  });

  it('full: three groups, the first decision in view, the number in the navigation', async () => {
    const { container } = renderApp('/inbox');
    const list = await screen.findByRole('region', { name: 'To do' });
    expect(
      within(list)
        .getAllByRole('heading')
        .map((heading) => heading.textContent),
    ).toEqual(['Needs your approval 2', 'Failed, you started it 1', 'Differs from Git on your stages 1']);
    expect(within(list).getByText('you requested it, and somebody else has to approve it')).toBeVisible();
    const decision = await screen.findByRole('region', { name: 'Decision' });
    expect(await within(decision).findByText('Promote checkout to prod-eu')).toBeVisible();
    expect(await within(decision).findByText('2 things to look at.')).toBeVisible();
    // what one may not decide is no work: 1 approval, 1 failure, 1 drift
    expect(screen.getAllByText('3').length).toBeGreaterThan(0);
    await expectAccessible(container);
  });

  it('moves with j and k, goes to Approve with a, rejects with x', async () => {
    const { history } = renderApp('/inbox');
    const decision = await screen.findByRole('region', { name: 'Decision' });
    await within(decision).findByText('2 things to look at.');
    await waitFor(() => expect(within(decision).getByRole('button', { name: 'Approve' })).toBeEnabled());
    await userEvent.keyboard('a');
    expect(within(decision).getByRole('button', { name: 'Approve' })).toHaveFocus();
    await userEvent.keyboard('x');
    expect(within(decision).getByRole('textbox', { name: 'Reason' })).toHaveFocus();
    await userEvent.click(within(decision).getByRole('button', { name: 'Back' }));
    await userEvent.keyboard('jj');
    await waitFor(() => expect(history.location.search).toContain('test-000018'));
    expect(screen.getByRole('heading', { name: /identity to test/ })).toBeVisible();
    await userEvent.keyboard('k');
    await waitFor(() => expect(history.location.search).toContain('prod-000041'));
  });

  it('follows the stream: what was decided elsewhere goes away', async () => {
    const { network } = renderApp('/inbox');
    await screen.findByRole('region', { name: 'To do' });
    await screen.findByText('Live');
    network.send('inbox', empty, 101);
    expect(await screen.findByText('Nothing waits for you')).toBeVisible();
    expect(network.calls().filter((call) => call === get)).toHaveLength(1);
  });

  it('lists what one decided', async () => {
    renderApp('/inbox?state=done');
    const list = await screen.findByRole('region', { name: 'Decided' });
    expect(within(list).getByText('you approved it')).toBeVisible();
  });

  it('filters in the address', async () => {
    const { history } = renderApp('/inbox');
    await userEvent.type(await screen.findByRole('textbox', { name: 'Filter' }), 'ledger');
    const list = screen.getByRole('region', { name: 'To do' });
    await waitFor(() => expect(within(list).getAllByRole('button')).toHaveLength(1));
    expect(history.location.search).toContain('q=ledger');
    expect(fixtures.inbox.approvals).toHaveLength(2);
  });
});
