// Takes a picture of every page of a running server, in light, dark and phone size.
//   WAYBILL_URL=http://127.0.0.1:5174 WAYBILL_USER=admin WAYBILL_PASSWORD=... npm run screenshots [-- OUTDIR]
// Without WAYBILL_URL it starts the fixture server. WAYBILL_UI_PROJECT and WAYBILL_UI_STAGE choose what to show
// (default: the first project and its last stage).
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start } from '../dev/server.mjs';
import { launch, looks, open, openPassword, settled, signIn } from './browser.mjs';

const out = process.argv[2] ?? fileURLToPath(new URL('../../test/artifacts/ui/', import.meta.url));
await mkdir(out, { recursive: true });

const own = process.env.WAYBILL_URL ? undefined : await start();
const base = process.env.WAYBILL_URL ?? own.url;
const user = process.env.WAYBILL_USER ?? 'lena';
const password = process.env.WAYBILL_PASSWORD ?? 'secret';

const browser = await launch();
let faulty = false;
try {
  for (const [name, look] of Object.entries(looks)) {
    const { page, context, faults } = await open(browser, base, look);
    const shoot = async (title) => {
      await page.waitForTimeout(250); // let the last frame be drawn; nothing is asserted on it
      await page.screenshot({ path: join(out, `${title}-${name}.png`) });
    };

    await page.goto('/login');
    await page.getByLabel('User name').waitFor();
    await page.evaluate(() => document.fonts.ready);
    await shoot('login');

    await signIn(page, user, password);
    await settled(page);
    await shoot('projects');

    const pipeline = await page.request.get('/api/v1/projects').then((answer) => answer.json());
    const wanted = process.env.WAYBILL_UI_PROJECT ?? (own ? 'checkout' : pipeline.items[0]?.name);
    if (!wanted) throw new Error('the server has no project to show');
    await page.goto(`/projects/${wanted}`);
    await settled(page);
    await shoot('pipeline');
    await page.goto(`/projects/${wanted}?view=list`);
    await settled(page);
    await shoot('pipeline-list');
    await page.goto(`/projects/${wanted}?view=matrix`);
    await settled(page);
    await shoot('matrix');

    const model = await page.request.get(`/api/v1/projects/${wanted}/pipeline`).then((answer) => answer.json());
    const stage = process.env.WAYBILL_UI_STAGE ?? (own ? 'prod-us' : model.stages.at(-1)?.name);
    const promotable = model.stages.find((each) => each.next?.mayPromote)?.name ?? stage;
    const freight = model.stages.find((each) => each.name === stage)?.next?.freight.name ?? model.freight[0]?.name;
    if (freight) {
      await page.goto(`/projects/${wanted}?freight=${freight}`);
      await settled(page);
      await shoot('pipeline-freight-selected');
      await page.goto(`/projects/${wanted}?promote=${promotable}&with=${freight}`);
      await settled(page);
      await shoot('promote');
      await page.goto(`/projects/${wanted}?why=${stage}&with=${freight}`);
      await settled(page);
      await shoot('why');
      await page.goto(`/projects/${wanted}/freight/${freight}`);
      await settled(page);
      await shoot('freight');
    }
    await page.goto(`/projects/${wanted}?rollback=${promotable}`);
    await settled(page);
    await shoot('rollback');
    await page.goto(`/projects/${wanted}/stages/${stage}`);
    await settled(page);
    await shoot('stage');
    await page.goto(`/projects/${wanted}/stages/${stage}/resources`);
    await page.getByRole('list', { name: 'Events' }).waitFor();
    await settled(page);
    await shoot('resources');
    await page.goto(`/projects/${wanted}/stages/${stage}/resources?tab=logs`);
    await page.getByRole('button', { name: 'Read again' }).waitFor();
    await settled(page);
    await shoot('resources-logs');
    await page.goto(`/projects/${wanted}/sources`);
    await settled(page);
    await shoot('sources');
    await page.goto(`/projects/${wanted}/audit`);
    await settled(page);
    await shoot('audit');
    await page.goto('/clusters');
    await settled(page);
    await shoot('clusters');
    await page.goto('/clusters?remove=prod-eu');
    await settled(page);
    await shoot('clusters-remove');
    await page.goto(`/projects/${wanted}/stages/${stage}?pause=${stage}`);
    await settled(page);
    await shoot('pause-healing');
    await page.goto(`/projects/${wanted}/stages/${stage}`);
    await settled(page);
    const accept = page.getByRole('button', { name: /^Accept / }).first();
    if (await accept.count()) {
      await accept.click();
      await settled(page);
      await shoot('accept');
    }
    await page.goto('/inbox');
    await settled(page);
    await shoot('inbox');
    await page.goto('/insights');
    await settled(page);
    await shoot('insights');
    await page.goto(`/insights?project=${wanted}&range=90d`);
    await settled(page);
    await shoot('insights-project');
    await openPassword(page);
    await shoot('password');
    const waiting = model.stages.flatMap((each) => each.pendingPromotions ?? []).at(0);
    if (waiting) {
      await page.goto(`/projects/${wanted}?review=${waiting.name}`);
      await settled(page);
      await shoot('review');
      await page.goto(`/projects/${wanted}/review/${waiting.name}`);
      await settled(page);
      await shoot('review-page');
    }
    for (const [title, name] of [
      ['promotion', model.activity[0]?.promotion],
      ['promotion-failed', own ? 'staging-000018' : model.activity.find((each) => each.phase === 'Failed')?.promotion],
      [
        'promotion-checks',
        own ? 'staging-000017' : model.stages.find((each) => each.verification)?.verification.promotion,
      ],
    ]) {
      if (!name) continue;
      await page.goto(`/projects/${wanted}/promotions/${name}`);
      await settled(page);
      await shoot(title);
    }
    await page.goto(`/projects/${wanted}?freeze=*`);
    await settled(page);
    await shoot('freeze');
    if (model.freezes?.[0]) {
      await page.goto(`/projects/${wanted}?thaw=${model.freezes[0].name}`);
      await settled(page);
      await shoot('thaw');
    }
    await page.goto('/projects/does-not-exist');
    await page.getByRole('alert').waitFor();
    await shoot('error');

    if (faults.length > 0) {
      faulty = true;
      console.error(`${name}:\n  ${faults.join('\n  ')}`);
    }
    await context.close();
  }
} finally {
  await browser.close();
  await own?.close();
}
console.log(`pictures in ${out}`);
if (faulty) process.exitCode = 1;
