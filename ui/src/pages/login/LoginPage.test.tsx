import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { fixtures, problem, renderApp } from '../../test/app';
import { expectAccessible } from '../../test/axe';
import { localPath } from './LoginPage';

async function fill(user: string, password: string) {
  await userEvent.type(await screen.findByLabelText('User name'), user);
  await userEvent.type(screen.getByLabelText('Password'), password);
  await userEvent.click(screen.getByRole('button', { name: 'Sign in' }));
}

describe('sign-in page', () => {
  it('comes first when nobody is signed in', async () => {
    const { history, container } = renderApp('/projects/checkout?view=list', ({ answers }) =>
      answers.set('GET /api/v1/me', problem(401, 'not-signed-in', 'nobody is signed in')),
    );
    expect(await screen.findByRole('heading', { name: 'Sign in' })).toBeVisible();
    expect(history.location.pathname).toBe('/login');
    await expectAccessible(container);
  });

  it('goes on to where one wanted to go', async () => {
    const { network, history } = renderApp('/login?next=%2Fprojects%2Fcheckout%3Fview%3Dlist', ({ answers }) =>
      answers.set('POST /api/v1/login', { status: 200, body: { me: fixtures.me } }),
    );
    await fill('lena', 'secret');
    await waitFor(() => expect(history.location.pathname).toBe('/projects/checkout'));
    const login = network.recorded.find(({ call }) => call === 'POST /api/v1/login');
    expect(login?.body).toEqual({ username: 'lena', password: 'secret' });
    expect(login?.headers['x-waybill-csrf']).toBe('1');
  });

  it('says that the credentials are wrong and forgets the password', async () => {
    renderApp('/login', ({ answers }) =>
      answers.set('POST /api/v1/login', problem(401, 'wrong-credentials', 'user name or password is wrong')),
    );
    await fill('lena', 'nope');
    expect(await screen.findByText(/User name or password is wrong\./)).toBeVisible();
    expect(screen.getByLabelText('Password')).toHaveValue('');
    expect(screen.getByLabelText('User name')).toHaveValue('lena');
  });

  it('offers the identity provider, and comes back to where one wanted to go', async () => {
    const { container } = renderApp('/login?next=%2Fprojects%2Fcheckout', ({ answers }) =>
      answers.set('GET /api/v1/login', { status: 200, body: { password: true, sso: 'Example Inc' } }),
    );
    const link = await screen.findByRole('link', { name: 'Sign in with Example Inc' });
    expect(link).toHaveAttribute('href', '/api/v1/login/sso?next=%2Fprojects%2Fcheckout');
    expect(screen.getByLabelText('Password')).toBeVisible();
    await expectAccessible(container);
  });

  it('has no password field where there are no passwords', async () => {
    renderApp('/login', ({ answers }) =>
      answers.set('GET /api/v1/login', { status: 200, body: { password: false, sso: 'Example Inc' } }),
    );
    await screen.findByRole('link', { name: 'Sign in with Example Inc' });
    expect(screen.queryByLabelText('Password')).toBeNull();
  });

  it.each([
    ['refused', /you may not sign in here/],
    ['expired', /took too long/],
    ['something-new', /did not work/],
  ])('says why the identity provider did not help: %s', async (why, text) => {
    renderApp(`/login?sso=${why}&request=0123456789abcdef`);
    expect(await screen.findByText(text)).toBeVisible();
    expect(screen.getByText('0123456789abcdef')).toBeVisible();
  });

  it('signs out', async () => {
    const { network, history } = renderApp('/projects', ({ answers }) =>
      answers.set('POST /api/v1/logout', { status: 204 }),
    );
    const [account] = await screen.findAllByRole('button', { name: /Account of lena/ });
    if (!account) throw new Error('no account button');
    await userEvent.click(account);
    await userEvent.click(await screen.findByRole('menuitem', { name: 'Sign out' }));
    await waitFor(() => expect(history.location.pathname).toBe('/login'));
    expect(network.calls()).toContain('POST /api/v1/logout');
  });
});

describe('localPath', () => {
  it.each([
    ['/projects/a?x=1', '/projects/a?x=1'],
    [undefined, '/projects'],
    ['https://evil.example', '/projects'],
    ['//evil.example', '/projects'],
    ['/\\evil.example', '/projects'],
    ['javascript:alert(1)', '/projects'],
  ])('%s leads to %s', (next, want) => expect(localPath(next)).toBe(want));
});
