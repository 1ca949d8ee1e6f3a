// Signing in at an identity provider, in a real browser: on the dashboard, and for the command line.
//   npm run sso (see local.mjs)
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, looks, open, patience, settled } from './browser.mjs';
import { bin, freePorts, pictures, startLocal } from './local.mjs';
import { client, startProvider } from './provider.mjs';

let local;
let browser;
let provider;
let server;
let log = '';
before(async () => {
  local = await startLocal();
  browser = await launch();
  const address = `http://127.0.0.1:${await freePorts()}`;
  provider = await startProvider(`${address}/api/v1/login/sso/callback`);
  const secret = join(local.data, 'client-secret');
  await writeFile(secret, `${client.secret}\n`, { mode: 0o600 });
  // a second server on the same cluster, which works on nothing: the first one leads
  server = spawn(join(bin, 'waybilld'), [
    `--kubeconfig=${local.kubeconfig}`,
    `--data=${join(local.data, 'sso')}`,
    `--listen=${new URL(address).host}`,
    `--public-url=${address}`,
    '--allow-loopback',
    '--allow-http',
    '--allow-other',
    `--oidc-issuer-url=${provider.issuer}`,
    `--oidc-client-id=${client.id}`,
    `--oidc-client-secret-file=${secret}`,
    '--oidc-name=Example Inc',
  ]);
  server.stderr.on('data', (text) => {
    log += text;
  });
  for (const until = Date.now() + patience; ; await new Promise((done) => setTimeout(done, 100))) {
    const answer = await fetch(`${address}/readyz`).catch(() => undefined);
    if (answer?.ok) break;
    assert.ok(Date.now() < until, `the server is not ready:\n${log}`);
  }
  server.address = address;
});
after(async () => {
  await browser?.close();
  server?.kill();
  await provider?.stop();
  await local?.stop();
});

/** What a person does on the provider's page. */
async function signInThere(page, name) {
  await page.getByLabel('Name').fill(name);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

test('signs in on the dashboard, and comes back to where one wanted to go', { timeout: 300_000 }, async () => {
  const { page, context, faults } = await open(browser, server.address);
  await page.goto('/inbox');
  const link = page.getByRole('link', { name: 'Sign in with Example Inc' });
  await link.waitFor();
  await page.screenshot({ path: join(pictures, 'sso-login.png') });
  await link.click();
  await signInThere(page, 'ada');
  await page.waitForURL(`${server.address}/inbox`);
  await page
    .getByRole('button', { name: /Account of ada@example\.com/ })
    .first()
    .waitFor();
  await settled(page);
  await page.screenshot({ path: join(pictures, 'sso-inbox.png') });
  // the provider's cookies are there as well: a host is one for all its ports
  const cookies = (await context.cookies(server.address)).filter(({ name }) => name.startsWith('waybill'));
  assert.deepEqual(
    cookies.map(({ name, httpOnly, sameSite }) => [name, httpOnly, sameSite]),
    [['waybill_session', true, 'Lax']],
  );
  assert.deepEqual(
    faults.filter((fault) => !fault.includes(provider.issuer)),
    [],
  );
  await context.close();
});

test('says that the provider did not sign one in', { timeout: 300_000 }, async () => {
  const { page, context } = await open(browser, server.address, looks.phone);
  await page.goto('/login');
  await page.getByRole('link', { name: 'Sign in with Example Inc' }).click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('The identity provider did not sign you in.').waitFor();
  await page.screenshot({ path: join(pictures, 'sso-denied-phone.png') });
  await context.close();
});

test('signs the command line in', { timeout: 300_000 }, async () => {
  const { page, context } = await open(browser, server.address);
  let said = '';
  const login = local.start('login', server.address, '--sso', '--no-browser', '--name', 'sso');
  const ended = new Promise((done) => login.once('exit', done));
  const address = await new Promise((found, lost) => {
    login.once('exit', () => lost(new Error(said)));
    login.stderr.on('data', (text) => {
      said += text;
      const [url] = /http:\S+\/login\/sso\S+/.exec(said) ?? [];
      if (url) found(url);
    });
  });
  await page.goto(address);
  await signInThere(page, 'grace');
  await page.getByText('You are signed in.').waitFor();
  assert.equal(await ended, 0, said);
  const me = JSON.parse(await local.waybill('whoami', '--context', 'sso', '-o', 'json'));
  assert.deepEqual([me.user, me.groups], ['waybill:grace@example.com', ['waybill:administrators']]);
  await context.close();
});
