import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, problem, renderApp } from '../test/app';
import { expectAccessible } from '../test/axe';

const call = 'POST /api/v1/me/password';

async function openDialog() {
  await userEvent.click((await screen.findAllByRole('button', { name: /Account of/ }))[0] as HTMLElement);
  await userEvent.click(await screen.findByRole('menuitem', { name: 'Change password…' }));
  return screen.findByRole('dialog', { name: 'Change your password' });
}

describe('password dialog', () => {
  it('changes the password when the new one was typed twice the same', async () => {
    const { container, network } = renderApp('/projects', ({ answers }) => answers.set(call, { status: 204 }));
    const dialog = await openDialog();
    await expectAccessible(container);
    await userEvent.type(within(dialog).getByLabelText('Old password'), 'old-secret');
    await userEvent.type(within(dialog).getByLabelText('New password'), 'new-secret');
    await userEvent.type(within(dialog).getByLabelText('New password again'), 'new-secre');
    expect(within(dialog).getByText('It is not the same.')).toBeVisible();
    expect(within(dialog).getByRole('button', { name: 'Change it' })).toBeDisabled();
    await userEvent.type(within(dialog).getByLabelText('New password again'), 't');
    await userEvent.click(within(dialog).getByRole('button', { name: 'Change it' }));
    expect(await screen.findByText('Your password is changed.')).toBeVisible();
    expect(network.recorded.find((each) => each.call === call)?.body).toEqual({ old: 'old-secret', new: 'new-secret' });
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
  });

  it('shows why the server refuses, and stays', async () => {
    renderApp('/projects', ({ answers }) => answers.set(call, problem(403, 'forbidden', 'the old password is wrong')));
    const dialog = await openDialog();
    for (const name of ['Old password', 'New password', 'New password again'])
      await userEvent.type(within(dialog).getByLabelText(name), 'some-secret');
    await userEvent.click(within(dialog).getByRole('button', { name: 'Change it' }));
    expect(await within(dialog).findByRole('alert')).toHaveTextContent('The old password is wrong');
  });

  it('is not offered to who signs in elsewhere', async () => {
    renderApp('/projects', ({ answers }) =>
      answers.set('GET /api/v1/me', { status: 200, body: { ...fixtures.me, hasPassword: false } }),
    );
    await userEvent.click((await screen.findAllByRole('button', { name: /Account of/ }))[0] as HTMLElement);
    expect(await screen.findByRole('menuitem', { name: 'Sign out' })).toBeVisible();
    expect(screen.queryByRole('menuitem', { name: 'Change password…' })).toBeNull();
  });
});
