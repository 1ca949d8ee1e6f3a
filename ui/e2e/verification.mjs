// Checks in a real browser on the real product; see decisions.test.mjs, which shares its server.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';

/**
 * A server that a check asks: it answers 200 until it is told to fail. Returns its address, the switch and the end.
 */
export async function checkedServer() {
  let status = 200;
  const server = createServer((_, answer) => {
    answer.statusCode = status;
    answer.end();
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  return {
    url: `http://127.0.0.1:${port}/healthz`,
    answers: (code) => {
      status = code;
    },
    stop: () => new Promise((done) => server.close(done)),
  };
}

/** Gives test two checks of the server, measured thrice, and takes back what fails; the flow is held then. */
export function verified(local, url) {
  return local.kubectl(
    'patch',
    'stage.waybill.dev',
    'test',
    '--type=merge',
    '--patch',
    JSON.stringify({
      spec: {
        verification: {
          checks: [
            { name: 'calm', wait: { for: '2s' } },
            { name: 'ping', http: { url, interval: '1s', count: 3, failureLimit: 1 } },
          ],
        },
        rollback: { onFailedVerification: 'Revert', hold: true },
      },
    }),
  );
}

/** Watches checks fail, sees the revert happen, reads why, resumes, and sees the mended version flow. */
export async function verification({ page, local, site, helpers: { card, runs, shoot } }) {
  await page.goto('/projects/guestbook/stages/test');
  const checks = page.getByRole('region', { name: 'Checks' });
  await checks.getByText('2 checks run after the next promotion.').waitFor();

  // a good version: each check is watched while it runs, without reloading
  await local.push('1.29.0');
  await checks.locator('[data-check="calm"][data-phase="Running"]').waitFor();
  await checks.locator('[data-check="ping"][data-phase="Running"]').waitFor();
  await checks.locator('[data-check="ping"][data-phase="Succeeded"]').waitFor();
  await checks.getByText(/3 measured/).waitFor();
  await shoot('checks-succeeded');

  // a person runs them again, and they can be stopped
  await checks.getByRole('button', { name: 'Run the checks again' }).click();
  await checks.locator('[data-run="2"]').waitFor();
  await checks.getByRole('button', { name: 'Stop the checks' }).click();
  await checks.locator('[data-phase="Aborted"][data-run="2"]').waitFor();
  await checks.getByRole('button', { name: 'Run the checks again' }).click();
  await checks.locator('[data-phase="Succeeded"][data-run="3"]').waitFor();

  // a bad one: watch it fail on the page of its promotion
  site.answers(503);
  await local.push('1.29.1');
  const promotion = await newest(local, 'test', '1.29.1');
  await page.goto(`/projects/guestbook/promotions/${promotion}`);
  await page.locator('[data-step="checks"][data-state="Running"]').waitFor();
  await page.locator('[data-step="checks"]').getByRole('button').click();
  const panel = page.locator('[data-panel="checks"]');
  await panel.locator('[data-check="ping"][data-phase="Failed"]').waitFor();
  await panel.getByText(/2 measured, 2 bad/).waitFor();
  await page.locator(`[data-promotion="${promotion}"][data-phase="RolledBack"]`).waitFor();
  const meaning = page.getByRole('region', { name: 'What this means now' });
  await meaning.getByText(/Taken back by .*check "ping" failed/).waitFor();
  await shoot('checks-failed');

  // the revert itself, and why
  await meaning.getByRole('link', { name: 'Show the rollback' }).click();
  await page.locator('[data-phase="Succeeded"]').first().waitFor();
  await page
    .getByText(/check "ping" failed/)
    .first()
    .waitFor();
  await shoot('checks-reverted');

  // read on the Stage what holds it, and resume
  await page.goto('/projects/guestbook');
  await runs('test', '1.29.0', 'Healthy');
  site.answers(200);
  await local.push('1.29.2');
  await page.locator('[data-freight][data-version="1.29.2"]').waitFor();
  await page.goto('/projects/guestbook/stages/test');
  await page.getByText(/held/).first().waitFor();
  await shoot('checks-held');
  await page.getByRole('button', { name: 'Resume' }).first().click();
  await page.getByText('The automatic flow into test goes on.').waitFor();
  await page.goto('/projects/guestbook');
  await runs('test', '1.29.2', 'Healthy');
  await runs('uat', '1.29.2', 'Healthy');
  assert.equal(await card('test').getAttribute('data-version'), '1.29.2');
}

/** The name of the newest Promotion of a version into a Stage, when there is one. */
async function newest(local, stage, version) {
  for (;;) {
    const { items } = JSON.parse(await local.waybill('history', `guestbook/${stage}`, '-o', 'json'));
    const found = items.find((each) => each.freight?.version === version && each.kind === 'Promote');
    if (found) return found.name;
  }
}
