// Every page in a real browser, in light, dark and phone size, over the fixtures: accessibility including
// contrast, the content security policy, the one event stream, the keyboard.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { start } from '../dev/server.mjs';
import { launch, looks, open, openPassword, settled, signIn } from './browser.mjs';
import { manyStages } from './many.mjs';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server;
let browser;
before(async () => {
  server = await start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

async function violations(page) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }),
  );
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`);
}

const freight = () => server.fixture('plan').freight.name;
/** The key of a change that is left alone: see lib/drift. */
const drift = () => {
  const app = server
    .fixture('pipeline')
    .stages.flatMap((each) => each.destinations)
    .find((each) => each.drifting);
  const { group = '', kind, namespace = '', name, field } = app.drifts[1];
  return encodeURIComponent([app.name, group, kind, namespace, name, field].join(' '));
};
const pages = {
  projects: () => '/projects',
  pipeline: () => '/projects/checkout',
  'freight selected': () => `/projects/checkout?freight=${freight()}`,
  matrix: () => '/projects/checkout?view=matrix',
  list: () => '/projects/checkout?view=list',
  promote: () => `/projects/checkout?promote=prod-eu&with=${freight()}`,
  'roll back': () => '/projects/checkout?rollback=prod-eu',
  why: () => `/projects/checkout?why=prod-us&with=${freight()}`,
  freight: () => '/projects/checkout/freight/2.14.0',
  'freight that is rejected': () => '/projects/checkout/freight/2.13.5',
  sources: () => '/projects/checkout/sources',
  audit: () => '/projects/checkout/audit',
  stage: () => '/projects/checkout/stages/prod-us',
  resources: () => '/projects/checkout/stages/prod-us/resources',
  'resources, logs': () => '/projects/checkout/stages/prod-us/resources?tab=logs',
  review: () => '/projects/checkout?review=prod-eu-000012',
  'review as a page': () => '/projects/checkout/review/prod-eu-000012',
  clusters: () => '/clusters',
  'rotate a cluster': () => '/clusters?rotate=prod-eu',
  'remove a cluster': () => '/clusters?remove=prod-eu',
  inbox: () => '/inbox',
  'inbox, decided': () => '/inbox?state=done',
  insights: () => '/insights',
  'insights of a project': () => '/insights?project=checkout&range=90d',
  promotion: () => '/projects/checkout/promotions/test-000041',
  'promotion that failed': () => '/projects/checkout/promotions/staging-000018',
  'promotion with checks': () => '/projects/checkout/promotions/staging-000017',
  freeze: () => '/projects/checkout?freeze=*',
  hold: () => '/projects/checkout/stages/prod-us?hold=prod-us',
  'pause of healing': () => '/projects/checkout/stages/prod-us?pause=prod-us',
  'heal now': () => `/projects/checkout/stages/prod-us?heal=${drift()}`,
  accept: () => `/projects/checkout/stages/prod-us?accept=${drift()}`,
  thaw: () => '/projects/checkout?thaw=black-friday',
};

for (const [name, look] of Object.entries(looks)) {
  describe(name, () => {
    test('every page is accessible and keeps to the content security policy', async () => {
      const { page, context, faults } = await open(browser, server.url, look);
      await page.goto('/login');
      await page.getByLabel('User name').waitFor();
      assert.deepEqual(await violations(page), [], 'login');
      await signIn(page, 'lena', 'secret');
      for (const [title, address] of Object.entries(pages)) {
        await page.goto(address());
        await settled(page);
        assert.deepEqual(await violations(page), [], title);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(overflow <= 0, `${title} is ${overflow} px wider than the screen`);
      }
      await openPassword(page);
      assert.deepEqual(await violations(page), [], 'password');
      assert.deepEqual(faults, []);
      await context.close();
    });
  });
}

test('a wrong password is told, a right one leads in', async () => {
  const { page, context } = await open(browser, server.url);
  await page.goto('/projects/checkout');
  await page.waitForURL(/\/login\?next=/);
  await page.getByLabel('User name').fill('lena');
  await page.getByLabel('Password', { exact: true }).fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('User name or password is wrong').waitFor();
  await page.getByLabel('Password', { exact: true }).fill('secret');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL(/\/projects\/checkout$/);
  await context.close();
});

test('after load a page makes no request but the event stream, and follows it', async () => {
  const { page, context, requests, faults } = await open(browser, server.url);
  await signIn(page, 'lena', 'secret');
  await page.goto('/projects/checkout');
  await settled(page);
  const streams = requests.filter((request) => request.includes('/api/v1/events')).length;
  requests.length = 0;

  const model = server.fixture('pipeline');
  for (const stage of model.stages) {
    if (stage.name !== 'test') continue;
    stage.freight.version = '9.9.9';
    stage.status = { word: 'Healthy', sentence: 'runs 9.9.9' };
  }
  server.send('pipeline:checkout', model);
  const test = page.locator('[data-stage="test"]');
  await test.getByText('9.9.9', { exact: true }).waitFor();
  assert.equal(await test.getAttribute('data-status'), 'Healthy');
  assert.deepEqual(requests, []);

  server.hangUp();
  await page.locator('[data-live="reconnecting"]').waitFor();
  await page.locator('[data-live="live"]').waitFor();
  assert.ok(requests.length >= 1);
  assert.ok(
    requests.every((request) => request === 'GET /api/v1/events?topics=inbox,pipeline%3Acheckout'),
    requests.join(', '),
  );
  assert.ok(streams >= 1);
  assert.deepEqual(faults, []);
  await context.close();
});

test('only one event stream is open, whatever one opens', async () => {
  const { page, context } = await open(browser, server.url);
  const openStreams = new Set();
  page.on('request', (request) => request.url().includes('/api/v1/events') && openStreams.add(request));
  page.on('requestfailed', (request) => openStreams.delete(request));
  page.on('requestfinished', (request) => openStreams.delete(request));
  await signIn(page, 'lena', 'secret');
  await settled(page);
  await page.getByRole('link', { name: 'checkout', exact: true }).first().click();
  await page.locator('[data-stage="test"]').waitFor();
  await settled(page);
  await page.getByRole('link', { name: 'prod-us', exact: true }).click();
  await page.getByRole('heading', { name: 'prod-us', level: 1 }).waitFor();
  await settled(page);
  assert.equal(openStreams.size, 1);
  await context.close();
});

test('a promotion is asked for with the keyboard alone', async () => {
  const { page, context, faults } = await open(browser, server.url);
  await signIn(page, 'lena', 'secret');
  await page.goto(`/projects/checkout`);
  await settled(page);
  const menu = page.getByRole('button', { name: 'Actions for prod-eu' });
  await menu.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('menuitem', { name: 'Promote…' }).waitFor();
  await page.waitForFunction(() => document.activeElement?.closest('[role="menu"]'));
  await page.keyboard.press('ArrowDown');
  await page.waitForFunction(() => document.activeElement?.textContent === 'Promote…');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Promote into prod-eu' }).waitFor();
  await page.getByText('A commit on stage/prod-eu').waitFor();
  // focus stays in the dialog however often one tabs
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab');
    assert.ok(await page.evaluate(() => document.activeElement?.closest('[role="dialog"]') !== null));
  }
  await page.getByRole('textbox', { name: 'Reason' }).focus();
  await page.keyboard.type('release train');
  await page.keyboard.press('Enter');
  await page.getByText('Promotion of 2.14.0 into prod-eu was accepted.').waitFor();
  assert.ok(server.calls.includes('POST /api/v1/projects/checkout/stages/prod-eu/promotions'));
  assert.deepEqual(faults, []);
  await context.close();
});

test('what ran where keeps to its lanes, however short', async () => {
  for (const look of [looks.light, looks.phone]) {
    const { page, context, faults } = await open(browser, server.url, look);
    await page.route('**/timeline', async (route) => {
      const timeline = server.fixture('timeline');
      const [lane] = timeline.lanes;
      const from = Date.parse(timeline.until) - 3_600_000;
      const at = (i) => new Date(from + i * 10_000).toISOString();
      lane.spans = Array.from({ length: 200 }, (_, i) => ({ ...lane.spans[0], from: at(i), until: at(i + 1) }));
      await route.fulfill({ json: timeline });
    });
    await signIn(page, 'lena', 'secret');
    await page.goto('/projects/checkout');
    await settled(page);
    const lanes = page.getByRole('list', { name: /^Versions in/ });
    await lanes.first().waitFor();
    const off = await lanes.evaluateAll((lists) =>
      lists.flatMap((list) => {
        const box = list.getBoundingClientRect();
        const bars = [...list.children].map((bar) => bar.getBoundingClientRect());
        return bars.filter(
          (bar, i) => bar.left < (i > 0 ? bars[i - 1].right : box.left) - 0.5 || bar.right > box.right + 0.5,
        );
      }),
    );
    assert.deepEqual(off, []);
    const cut = await page.locator('li[title] > span[aria-hidden]').evaluateAll(
      (labels) =>
        labels.filter((label) => {
          const bar = label.parentElement.getBoundingClientRect();
          const own = label.getBoundingClientRect();
          return own.top < bar.bottom - 0.5 && own.right > bar.right + 0.5;
        }).length,
    );
    assert.equal(cut, 0, 'a version is shown whole or not at all');
    assert.deepEqual(faults, []);
    await context.close();
  }
});

test('Escape closes a dialog and gives the focus back', async () => {
  const { page, context } = await open(browser, server.url);
  await signIn(page, 'lena', 'secret');
  await page.goto('/projects/checkout');
  await settled(page);
  const pill = page.getByRole('button', { name: /^Gates into prod-us/ });
  await pill.focus();
  await page.keyboard.press('Enter');
  await page.getByText('4 gates are closed').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.ok(await pill.evaluate((element) => element === document.activeElement));
  await context.close();
});

test('the chosen colours stay after a reload, without a flash of the others', async () => {
  const { page, context } = await open(browser, server.url, looks.light);
  await signIn(page, 'lena', 'secret');
  await page
    .getByRole('button', { name: /Account of lena/ })
    .first()
    .click();
  await page.getByRole('menuitemradio', { name: 'Dark' }).click();
  await page.waitForFunction(() => document.documentElement.getAttribute('data-mantine-color-scheme') === 'dark');
  // what public/theme.js sets, before the bundle runs
  await page.route('**/assets/*.js', (route) => route.abort());
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.getAttribute('data-mantine-color-scheme')), 'dark');
  await context.close();
});

test('600 Stages draw only what is on the screen', async () => {
  const { page, context, faults } = await open(browser, server.url);
  await signIn(page, 'lena', 'secret');
  await page.goto('/projects/checkout');
  await settled(page);
  // the stream may just be opened anew with the page's topics, and what is sent meanwhile nobody hears
  const first = page.locator('[data-stage="s0"]');
  for (let i = 0; i < 30 && !(await first.isVisible()); i++) {
    server.send('pipeline:checkout', manyStages(server.fixture('pipeline'), 600));
    await first.waitFor({ timeout: 3000 }).catch(() => undefined);
  }
  await first.waitFor();
  const drawn = await page.locator('.react-flow__node').count();
  assert.ok(drawn > 10 && drawn < 250, `${drawn} of 1201 nodes are drawn`);
  assert.deepEqual(faults, []);
  await context.close();
});
