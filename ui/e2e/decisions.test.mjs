// What people decide, in a real browser on the real product: approve from the Inbox on a phone with the plan in
// view, reject with a reason, see a freeze stop the flow and a thaw release it; watch checks fail, read why, resume.
//   npm run decisions (see local.mjs)
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, looks, open, settled, signIn } from './browser.mjs';
import { pictures, startLocal } from './local.mjs';
import { checkedServer, verification, verified } from './verification.mjs';

let local;
let browser;
before(async () => {
  local = await startLocal();
  browser = await launch();
  // prod takes versions by itself, and asks one person about each plan
  await local.kubectl(
    'patch',
    'stage.waybill.dev',
    'prod',
    '--type=merge',
    '--patch',
    JSON.stringify({ spec: { autoPromotion: { enabled: true }, approval: { required: 1 } } }),
  );
});
after(async () => {
  await browser?.close();
  await local?.stop();
});

function helpers(page) {
  return {
    card: (stage) => page.locator(`[data-stage="${stage}"]`),
    runs: (stage, version, status) =>
      page.locator(`[data-stage="${stage}"][data-version="${version}"][data-status="${status}"]`).waitFor(),
    shoot: (name) => page.screenshot({ path: join(pictures, `decisions-${name}.png`) }),
  };
}

test('approves from the Inbox on a phone, with the plan in view', { timeout: 900_000 }, async () => {
  const { page, context, faults } = await open(browser, local.server, looks.phone);
  const { runs, shoot } = helpers(page);
  await signIn(page, local.user, local.password);
  // the badge comes by the stream, on whatever page one is
  const tab = page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: /Inbox/ });
  await tab.locator('[data-badge="1"]').waitFor();
  await tab.click();
  await shoot('inbox-phone');
  await page.getByRole('link', { name: /guestbook to prod/ }).click();
  await page.getByRole('heading', { name: 'Promote to prod', level: 1 }).waitFor();
  const plan = page.getByRole('region', { name: 'What changes' });
  await plan.locator('[data-object]').first().waitFor();
  assert.ok(await plan.locator('[data-object][data-change]').count());
  await plan
    .getByRole('list', { name: 'Gates' })
    .getByText(/0 of 1 approval/)
    .waitFor();
  const approve = page.getByRole('button', { name: 'Approve' });
  const place = await approve.boundingBox();
  const screen = page.viewportSize();
  assert.ok(place && screen && place.y + place.height <= screen.height, 'the answer is in view');
  assert.ok(place.height >= 44, `${place.height} px are too small for a thumb`);
  await shoot('review-phone');
  await page.getByLabel('Comment').fill('from the train');
  await approve.click();
  await page.getByText(/^You approved .* for prod\.$/).waitFor();
  await page.goto('/projects/guestbook');
  await runs('prod', '1.26.1', 'Healthy');
  const approvals = JSON.parse(await local.waybill('get', 'approvals', '-p', 'guestbook', '-o', 'json')).items;
  assert.deepEqual(
    approvals.map(({ spec }) => [spec.stage, spec.decision, spec.reason]),
    [['prod', 'Approve', 'from the train']],
  );
  assert.deepEqual(faults, []);
  await context.close();
});

test('rejects with a reason, and nothing moves', { timeout: 900_000 }, async () => {
  const { page, context, faults } = await open(browser, local.server);
  const { card, runs, shoot } = helpers(page);
  await signIn(page, local.user, local.password);
  await page.goto('/projects/guestbook');
  await settled(page);
  await local.push('1.27.0');
  await runs('uat', '1.27.0', 'Healthy');
  await card('prod').getByRole('button', { name: 'Review…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Promote to prod' });
  await dialog.locator('[data-object]').first().waitFor();
  await shoot('review');
  await dialog.getByRole('button', { name: 'Reject…' }).click();
  assert.ok(await dialog.getByRole('button', { name: 'Reject', exact: true }).isDisabled());
  await dialog.getByLabel('Reason').fill('not before the weekend');
  await dialog.getByRole('button', { name: 'Reject', exact: true }).click();
  await page.getByText(/^You rejected 1\.27\.0 for prod\.$/).waitFor();
  await dialog
    .getByText(/not before the weekend/)
    .first()
    .waitFor();
  await dialog.locator('[data-phase="Rejected"]').waitFor(); // and not Failed: it is what a person wanted
  await shoot('rejected');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  assert.equal(await card('prod').getAttribute('data-version'), '1.26.1');
  assert.deepEqual(faults, []);
  await context.close();
});

test('sees a freeze stop the flow and a thaw release it', { timeout: 900_000 }, async () => {
  const { page, context, faults } = await open(browser, local.server);
  const { card, runs, shoot } = helpers(page);
  await signIn(page, local.user, local.password);
  await page.goto('/projects/guestbook');
  await settled(page);
  await page.getByRole('button', { name: 'Actions for uat' }).click();
  await page.getByRole('menuitem', { name: 'Freeze…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Freeze uat' });
  await dialog.getByLabel('Reason').fill('load test');
  await dialog.getByRole('button', { name: 'Freeze' }).click();
  await page.locator('[data-stage="uat"][data-status="Frozen"]').waitFor();

  await local.push('1.27.1');
  await runs('test', '1.27.1', 'Healthy');
  await page.getByRole('button', { name: /Gates into uat: frozen/ }).waitFor();
  assert.equal(await card('uat').getAttribute('data-version'), '1.27.0');
  await shoot('frozen');
  await page.getByRole('button', { name: /Gates into uat: frozen/ }).click();
  await page
    .getByRole('dialog')
    .getByText(/frozen by .*load test/)
    .waitFor();
  await page.keyboard.press('Escape');

  await page.getByRole('button', { name: 'Actions for uat' }).click();
  await page.getByRole('menuitem', { name: 'Thaw…' }).click();
  const thaw = page.getByRole('dialog', { name: 'Thaw uat' });
  await thaw.getByText(/load test/).waitFor();
  await shoot('thaw');
  await thaw.getByRole('button', { name: 'Thaw' }).click();
  await runs('uat', '1.27.1', 'Healthy');
  assert.deepEqual(faults, []);
  await context.close();
});

test('pauses healing, sees what drifts meanwhile, and heals it', { timeout: 900_000 }, async () => {
  const { page, context, faults } = await open(browser, local.server);
  const { shoot } = helpers(page);
  await signIn(page, local.user, local.password);
  await page.goto('/projects/guestbook/stages/test');
  await settled(page);
  const drift = page.getByRole('region', { name: 'Drift' });
  await drift.getByRole('button', { name: 'Pause healing…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Pause healing of test' });
  await dialog.getByLabel('Reason').fill('a leak');
  await dialog.getByRole('button', { name: 'Pause healing' }).click();
  const banner = page.locator('[data-freeze^="healing-test-"]');
  await banner.getByText('Healing is paused').waitFor();

  await local.kubectl('--namespace=guestbook-test', 'label', 'deployment', '--all', 'probe=1');
  const heal = drift.getByRole('button', { name: /^Heal now: metadata\.labels\.probe/ }).first();
  await heal.waitFor();
  await shoot('drift-paused');
  await heal.click();
  await page.getByRole('dialog').getByRole('button', { name: 'Heal now' }).click();
  await heal.waitFor({ state: 'detached' });
  await banner.getByRole('button', { name: 'Heal again' }).click();
  await banner.waitFor({ state: 'detached' });
  assert.deepEqual(faults, []);
  await context.close();
});

test('watches checks fail, sees the revert happen, reads why, and resumes', { timeout: 900_000 }, async () => {
  const site = await checkedServer();
  const { page, context, faults } = await open(browser, local.server);
  try {
    await verified(local, site.url);
    const helping = helpers(page);
    await signIn(page, local.user, local.password);
    await verification({ page, local, site, helpers: helping });
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
    await site.stop();
  }
});
