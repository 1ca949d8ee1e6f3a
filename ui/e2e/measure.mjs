// Measures a project of 600 Stages in a real browser: from the model's arrival to painted cards, and frames a
// second while panning. Prints figures and judges nothing: they depend on the machine. npm run measure
import { start } from '../dev/server.mjs';
import { launch, open, settled, signIn } from './browser.mjs';
import { manyStages } from './many.mjs';

const server = await start();
const browser = await launch();
try {
  const { page } = await open(browser, server.url);
  await signIn(page, 'lena', 'secret');
  await page.goto('/projects/checkout');
  await settled(page);
  const model = manyStages(server.fixture('pipeline'), 600);
  const began = Date.now();
  server.send('pipeline:checkout', model);
  await page.locator('[data-stage="s0"]').waitFor();
  console.log(`painted after ${Date.now() - began} ms (budget 500, and 100 of coalescing)`);

  const frames = await page.evaluate(async () => {
    const pane = document.querySelector('.react-flow__pane');
    let count = 0;
    const start = performance.now();
    while (performance.now() - start < 3000) {
      pane.dispatchEvent(new WheelEvent('wheel', { deltaY: 24, deltaX: 8, bubbles: true, cancelable: true }));
      await new Promise((done) => requestAnimationFrame(done));
      count++;
    }
    return count / 3;
  });
  console.log(`${frames.toFixed(0)} frames a second while panning (budget 50)`);
} finally {
  await browser.close();
  await server.close();
}
