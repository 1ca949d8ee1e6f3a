// The main job in a real browser on the real product: sign in, watch a tag travel, promote, see a broken version
// go back by itself, ask why, roll back. Starts its own `waybill local` in a temporary folder.
//   npm run journey (see local.mjs)
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, looks, open, settled, signIn } from './browser.mjs';
import { pictures, startLocal } from './local.mjs';

let local;
let browser;
let data;
const waybill = (...args) => local.waybill(...args);

before(async () => {
  local = await startLocal();
  data = local.data;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await local?.stop();
});

test('the main job', { timeout: 900_000 }, async (t) => {
  const { page, faults, requests } = await open(browser, local.server);
  const card = (stage) => page.locator(`[data-stage="${stage}"]`);
  const runs = (stage, version, status) =>
    page.locator(`[data-stage="${stage}"][data-version="${version}"][data-status="${status}"]`).waitFor();
  const shoot = (name) => page.screenshot({ path: join(pictures, `journey-${name}.png`) });
  /** Everything asked of the server since the page was loaded, without the stream. */
  const asked = () => requests.filter((request) => !request.startsWith('GET /api/v1/events'));

  await t.test('signs in and sees the project', async () => {
    await signIn(page, local.user, local.password);
    await page.locator('[data-project="guestbook"]').waitFor();
    await page.getByRole('link', { name: 'guestbook', exact: true }).first().click();
    await settled(page);
    await runs('uat', '1.26.1', 'Healthy');
  });

  await t.test('promotes by hand and follows it without reloading', async () => {
    await card('prod').getByRole('button', { name: 'Promote…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Promote into prod' });
    await dialog.getByText('A commit on stage/prod').waitFor();
    await dialog.getByText('stages/prod/kustomization.yaml').waitFor();
    await shoot('promote');
    await dialog.getByRole('button', { name: 'Promote 1.26.1' }).click();
    await dialog.waitFor({ state: 'detached' });
    await runs('prod', '1.26.1', 'Healthy');
  });

  await t.test('watches a pushed tag travel, with no request but the event stream', async () => {
    await page.reload();
    await settled(page);
    requests.length = 0;
    await waybill('local', 'push', '1.27.0', '--data', data);
    await page.locator('[data-freight][data-version="1.27.0"]').waitFor();
    await runs('test', '1.27.0', 'Healthy');
    await runs('uat', '1.27.0', 'Healthy');
    await card('prod').getByText('1.27.0 ready').waitFor();
    assert.deepEqual(asked(), []);
    assert.equal(await card('prod').getAttribute('data-version'), '1.26.1');
    await shoot('travelled');
  });

  await t.test('promotes the new version', async () => {
    await card('prod').getByRole('button', { name: 'Promote…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Promote into prod' });
    assert.ok(await dialog.getByRole('radio', { name: /1\.27\.0/ }).isChecked());
    await dialog.getByRole('textbox', { name: 'Reason' }).fill('journey');
    await dialog.getByRole('button', { name: 'Promote 1.27.0' }).click();
    await runs('prod', '1.27.0', 'Healthy');
  });

  await t.test('sees a broken version fail and go back by itself', async () => {
    await waybill('local', 'push', '1.28.0', '--broken', '--data', data);
    await page.locator('[data-freight][data-version="1.28.0"]').waitFor();
    await page.locator('[data-stage="test"][data-status="Failed"]').waitFor();
    await shoot('failed');
    await runs('test', '1.27.0', 'Healthy');
    await page
      .locator('[data-freight][data-version="1.28.0"]')
      .getByText(/^Rejected/)
      .waitFor();
    assert.equal(await card('uat').getAttribute('data-version'), '1.27.0');
    await shoot('reverted');
  });

  await t.test('asks why the broken version may not go on, and reads every closed gate', async () => {
    await page.locator('[data-freight][data-version="1.28.0"]').click();
    await card('uat')
      .getByRole('button', { name: /verified|rejected/ })
      .click();
    const dialog = page.getByRole('dialog');
    const closed = await dialog.getByRole('list', { name: 'Closed gates' }).getByRole('listitem').all();
    const names = await Promise.all(closed.map((row) => row.getAttribute('data-gate')));
    const freight = new URL(page.url()).searchParams.get('with');
    const why = await page.request.get(`/api/v1/projects/guestbook/stages/uat/why?freight=${freight}`);
    const expected = (await why.json()).gates.filter((gate) => !gate.open).map((gate) => gate.gate);
    assert.deepEqual(names.sort(), expected.sort());
    assert.ok(names.includes('upstream'));
    await shoot('why');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
  });

  await t.test('rolls back, is told that the flow is held, and resumes it', async () => {
    await page.getByRole('button', { name: 'Actions for prod' }).click();
    await page.getByRole('menuitem', { name: 'Roll back…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Roll back prod' });
    await dialog.getByText('Last good version').waitFor();
    await dialog.getByText('The automatic flow will be held').waitFor();
    await shoot('rollback');
    await dialog.getByRole('button', { name: 'Roll back to 1.26.1' }).click();
    await runs('prod', '1.26.1', 'Healthy');
    await card('prod').getByText('held').waitFor();
    await card('prod').getByRole('link', { name: 'prod', exact: true }).click();
    await page.getByText('The automatic flow is held', { exact: true }).waitFor();
    await page.getByRole('region', { name: 'Last promotions' }).getByText('rollback').first().waitFor();
    await shoot('held');
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByText('The automatic flow is held', { exact: true }).waitFor({ state: 'detached' });
  });

  await t.test('shows four closed gates as four', async () => {
    await waybill('freeze', 'guestbook/prod', '--reason', 'Black Friday');
    await waybill('reject', '1.28.0', 'guestbook/prod', '--reason', 'it crashes');
    const sources = { stages: ['uat'], requiredSoakTime: '1h' };
    const request = [{ origin: { kind: 'Warehouse', name: 'guestbook' }, sources }];
    await local.kubectl(
      'patch',
      'stage.waybill.dev',
      'prod',
      '--type=merge',
      '--patch',
      JSON.stringify({ spec: { requestedFreight: request } }),
    );
    const freight = JSON.parse(await waybill('get', 'freight', '-p', 'guestbook', '-o', 'json')).items.find((f) =>
      f.images.some((image) => image.tag === '1.28.0'),
    );
    await page.goto(`/projects/guestbook?why=prod&with=${freight.metadata.name}`);
    const rows = page.getByRole('dialog').getByRole('list', { name: 'Closed gates' }).getByRole('listitem');
    await rows.nth(3).waitFor();
    const names = await Promise.all((await rows.all()).map((row) => row.getAttribute('data-gate')));
    assert.deepEqual(names.sort(), ['freeze', 'rejected', 'soak', 'upstream']);
    await shoot('four-gates');
    await waybill('thaw', 'guestbook/prod');
  });

  await t.test('no page had an error, a refusal of the content security policy or a request elsewhere', () => {
    assert.deepEqual(faults, []);
  });
});

test('every page of the real server, in every look', { timeout: 300_000 }, async () => {
  for (const [name, look] of Object.entries(looks)) {
    const { page, context, faults } = await open(browser, local.server, look);
    const shoot = (title) => page.screenshot({ path: join(pictures, `${title}-${name}.png`) });
    await page.goto('/login');
    await page.getByLabel('User name').waitFor();
    await shoot('login');
    await signIn(page, local.user, local.password);
    await settled(page);
    await shoot('projects');
    for (const [title, address] of [
      ['pipeline', '/projects/guestbook'],
      ['promote', '/projects/guestbook?promote=prod'],
      ['rollback', '/projects/guestbook?rollback=prod'],
      ['stage', '/projects/guestbook/stages/prod'],
    ]) {
      await page.goto(address);
      await settled(page);
      await page.waitForTimeout(300); // let the last frame be drawn; nothing is asserted on it
      await shoot(title);
    }
    assert.deepEqual(faults, [], name);
    await context.close();
  }
});
