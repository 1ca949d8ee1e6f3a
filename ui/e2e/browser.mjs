// A headless Chromium for tests and pictures, never in touch with anything but the page under test.
import { chromium } from 'playwright-core';

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** How long, in ms, a page on a busy machine may take for what works; a passing test never waits it out. */
export const patience = 120_000;

/** Sizes and colours every page is looked at in. */
export const looks = {
  light: { viewport: { width: 1600, height: 1000 }, colorScheme: 'light', deviceScaleFactor: 1.5 },
  dark: { viewport: { width: 1600, height: 1000 }, colorScheme: 'dark', deviceScaleFactor: 1.5 },
  phone: {
    viewport: { width: 390, height: 844 },
    colorScheme: 'light',
    deviceScaleFactor: 2,
    isMobile: true,
    hasTouch: true,
  },
  'phone-dark': {
    viewport: { width: 390, height: 844 },
    colorScheme: 'dark',
    deviceScaleFactor: 2,
    isMobile: true,
    hasTouch: true,
  },
};

/** Starts Chromium with a profile of its own; WAYBILL_CHROMIUM names another binary. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.WAYBILL_CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: flags,
  });
}

/**
 * Opens a page and records what must not happen in it.
 * `faults` collects errors, refusals of the content security policy and requests to other hosts;
 * `requests` every request to the server, as "GET /path?query".
 */
export async function open(browser, base, look = looks.light) {
  const context = await browser.newContext({ ...look, reducedMotion: 'reduce', baseURL: base });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  const faults = [];
  const requests = [];
  page.on('console', (message) => {
    // a refused sign-in is an answer, and Chromium writes every answer above 399 to the console
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol === 'data:' || url.protocol === 'blob:') return;
    if (url.origin !== new URL(base).origin) faults.push(`request to another host: ${request.url()}`);
    requests.push(`${request.method()} ${url.pathname}${url.search}`);
  });
  return { page, context, faults, requests };
}

/** Signs in through the form and waits for the projects. */
export async function signIn(page, user, password) {
  await page.goto('/login');
  await page.getByLabel('User name').fill(user);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Projects', level: 1 }).waitFor();
}

/** Waits until the page follows the server and its fonts are there. */
export async function settled(page) {
  await page.locator('[data-live="live"]').waitFor();
  await page.evaluate(() => document.fonts.ready);
  await page.waitForFunction(() => !document.querySelector('[aria-busy="true"]'));
}

/** Opens the dialog for another password from the account menu, wherever that is in this look. */
export async function openPassword(page) {
  await page.goto('/inbox');
  await settled(page);
  await page
    .getByRole('button', { name: /^Account of/ })
    .filter({ visible: true })
    .click();
  await page.getByRole('menuitem', { name: 'Change password…' }).click();
  await page.getByLabel('Old password', { exact: true }).waitFor();
}
