import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import type { RunOptions } from 'axe-core';
import type { Browser, CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundledViews } from '../../src/http/locales.ts';
import { createViews, type Views } from '../../src/http/views.ts';
import { findChromium, launchChromium } from './support/chromium.ts';
import { contextOf, serveStates } from './support/serve.ts';
import { states } from './support/states.ts';

const chromium = findChromium();
if (!chromium)
  console.warn('No Chromium is found (CHROMIUM_PATH, /usr/bin/chromium): the browser tests are skipped.');

const SCREENS = 'test/output/screens';
const THEMES = ['light', 'dark'] as const;
const NARROW = { width: 320, height: 640 };
const WIDE = { width: 1280, height: 800 };
const RULES: RunOptions = {
  runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa'],
  rules: { 'target-size': { enabled: true } },
  resultTypes: ['violations', 'incomplete'],
  preload: false, // for rules about media, and one that is off
};
/** Languages of the tests' own: half as long again with accents, and the same written from right to left. */
const PSEUDO = { 'en-XA': 'ltr', 'ar-XB': 'rtl' } as const;

let folder: string;
let views: Views;
let server: Awaited<ReturnType<typeof serveStates>>;
let browser: Browser;
/** Goes from page to page. */
let page: Page;
/** Stays in one window, where axe is, and has each state written into it: loading axe costs more than its looks. */
let desk: Page;
let camera: CDPSession;
/** What the browser refused or complained about, and what it loaded from elsewhere. */
const complaints: string[] = [];

/** English with every vowel accented and every message half as long again; placeholders stay. */
function pseudo(dir: string): Record<string, string> {
  const english = JSON.parse(readFileSync(`${bundledViews}/messages/en.json`, 'utf8')) as Record<
    string,
    string
  >;
  const accents: Record<string, string> = { a: 'á', e: 'ê', i: 'ï', o: 'ô', u: 'ü' };
  const stretch = (text: string) =>
    text.replace(/\{\w+\}|[aeiou]/g, (found) => accents[found] ?? found) +
    ' wörd'.repeat(Math.ceil(text.length / 10));
  return { ...Object.fromEntries(Object.entries(english).map(([key, text]) => [key, stretch(text)])), dir };
}

async function open(path: string, size = WIDE): Promise<void> {
  await page.setViewportSize(size);
  await page.goto(`${server.url}/${path}`);
}

// What runs in the page is text: the DOM's types would reach every file of the project.
const OVERFLOW = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
const WHOLE = '[document.documentElement.scrollWidth, document.documentElement.scrollHeight]';
/** What shows more: at a click, or when a passkey failed. */
const FOLDS = 'document.querySelectorAll("details, form:not([hidden]) > [role=alert]")';
const fold = (open: boolean): string =>
  `for (const each of ${FOLDS}) each.localName === "details" ? (each.open = ${open}) : (each.hidden = ${!open})`;
const OUTLINE =
  '(({ outlineStyle, outlineWidth }) => `${outlineStyle} ${outlineWidth}`)(getComputedStyle(document.activeElement))';
const focused = (attribute: string): Promise<string | null> =>
  page.evaluate<string | null>(`document.activeElement.getAttribute("${attribute}")`);

/** Shows a state on the desk, as it is once loaded. */
async function lay(name: string, locale: string): Promise<void> {
  const state = states[name];
  if (!state) throw new Error(`no state ${name}`);
  if ('passkey' in state && state.passkey) {
    // Its script runs once in a window.
    await desk.goto(`${server.url}/${locale}/${name}`);
    return;
  }
  await desk.setContent(views.render(state, contextOf(locale)));
  await desk.evaluate('document.querySelector("[autofocus]")?.focus()'); // a window does so once, by itself
}

const photograph = async (name: string): Promise<void> => {
  const [width, height] = await desk.evaluate<[number, number]>(WHOLE);
  const { data } = await camera.send('Page.captureScreenshot', {
    format: 'png',
    optimizeForSpeed: true,
    captureBeyondViewport: true,
    clip: { x: 0, y: 0, width, height, scale: 1 },
  });
  await writeFile(`${SCREENS}/${name}.png`, Buffer.from(data, 'base64'));
};

// Only what was found leaves the page: all that axe tells is much.
const LOOK = `axe.run(${JSON.stringify(RULES)}).then(({ violations, incomplete }) => [
  ...[...violations, ...incomplete.filter(({ id }) => id === "color-contrast")].map(
    ({ id, nodes }) => id + ": " + nodes.map(({ target }) => target.join(" ")).join(", ")),
  ...(${OVERFLOW} === 0 ? [] : ["too wide"]),
])`;

/** Lets axe look: `rule: elements` for each violation, and for each contrast it cannot tell; and what does not fit. */
const examine = (): Promise<string[]> => desk.evaluate<string[]>(LOOK);

// Needs a Chromium: the suite must run where only Node is; `.ci/run` brings one.
describe.skipIf(!chromium)('pages in a browser', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'views-'));
    cpSync(bundledViews, folder, { recursive: true });
    for (const [locale, dir] of Object.entries(PSEUDO)) {
      writeFileSync(`${folder}/messages/${locale}.json`, JSON.stringify(pseudo(dir)));
    }
    rmSync(SCREENS, { recursive: true, force: true });
    mkdirSync(SCREENS, { recursive: true });
    views = createViews({ viewsDir: folder });
    server = await serveStates(views);
    browser = await launchChromium(chromium ?? '');
    [page, desk] = [await browser.newPage(), await browser.newPage()];
    for (const each of [page, desk]) {
      each.on('console', (message) => complaints.push(message.text()));
      each.on('request', (request) => {
        if (!request.url().startsWith(server.url)) complaints.push(request.url());
      });
    }
    camera = await desk.context().newCDPSession(desk);
    await desk.goto(`${server.url}/en/login-plain`);
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  // From one to the next, one thing changes.
  const looks = [
    { theme: 'light', size: NARROW },
    { theme: 'light', size: WIDE },
    { theme: 'dark', size: WIDE },
    { theme: 'dark', size: NARROW },
  ] as const;

  it.each(Object.keys(states))(
    '%s breaks no WCAG 2.2 AA rule and fits, at 320 and 1280 px, light and dark',
    async (name) => {
      for (const [locale, some] of [
        ['en', looks],
        ['de', looks.slice(0, 1)],
      ] as const) {
        await lay(name, locale);
        if (!(await desk.evaluate('"axe" in self'))) await desk.evaluate(axe.source);
        const folds = await desk.evaluate<number>(`${FOLDS}.length`);
        for (const { theme, size } of some) {
          const where = `${name}-${size.width}-${theme}-${locale}`;
          await desk.emulateMedia({ colorScheme: theme });
          await desk.setViewportSize(size);
          await photograph(where);
          if (folds > 0) {
            await desk.evaluate(fold(true));
            await photograph(`${where}-open`);
          }
          expect(await examine(), where).toEqual([]);
          if (folds > 0) await desk.evaluate(fold(false));
        }
      }
    },
    120_000,
  );

  it('fits at 320 px in longer languages, and in ones written from right to left', async () => {
    await desk.emulateMedia({ colorScheme: 'light' });
    await desk.setViewportSize(NARROW);
    for (const locale of Object.keys(PSEUDO)) {
      for (const name of Object.keys(states)) {
        await lay(name, locale);
        expect(await desk.getAttribute('html', 'lang')).toBe(locale);
        expect(await desk.evaluate(OVERFLOW), `${name} in ${locale}`).toBe(0);
        if (name === 'consent' || name === 'account-apps') {
          await photograph(`${name}-320-light-${locale}`);
        }
      }
    }
  }, 120_000);

  it('loaded by itself, each fits when text is twice as large; the focus is on the summary of errors, whose links lead to the fields', async () => {
    for (const name of Object.keys(states)) {
      await open(`en/${name}`, { width: 640, height: 800 });
      await page.evaluate('document.documentElement.style.fontSize = "200%"');
      expect(await page.evaluate(OVERFLOW), name).toBe(0);
      if (!name.startsWith('problem-')) continue;
      expect(await focused('role'), name).toBe('alert');
      for (const link of await page.locator('[role=alert] a').all()) {
        const field = (await link.getAttribute('href'))?.slice(1);
        await link.press('Enter');
        expect(await focused('id'), name).toBe(field);
      }
    }
  }, 120_000);

  it('sign-in starts at the first empty field and goes on by keyboard alone', async () => {
    await open('en/login');
    expect(await focused('name')).toBe('username');
    await page.keyboard.type('ada');
    await page.keyboard.press('Tab');
    await page.keyboard.type('correct horse');
    const sent = page.waitForRequest((request) => request.method() === 'POST');
    await page.keyboard.press('Enter');
    const form = new URLSearchParams((await sent).postData() ?? '');
    expect(Object.fromEntries(form)).toEqual({
      csrf: 'c5rf-t0ken',
      username: 'ada',
      password: 'correct horse',
    });
    await open('en/login-hint');
    expect(await focused('name')).toBe('password');
  }, 30_000);

  it('whatever takes the focus shows it, in both themes', async () => {
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme });
      for (const name of ['consent-more', 'account-apps', 'account-password', 'logout']) {
        await open(`en/${name}`);
        const stops = await page.locator(':is(a, button, summary, input):visible').count();
        expect(stops).toBeGreaterThan(1);
        for (let stop = 0; stop < stops; stop++) {
          await page.keyboard.press('Tab');
          expect(await page.evaluate(OUTLINE), `${name}, stop ${stop + 1}`).toBe('solid 3px');
        }
      }
    }
  }, 60_000);

  it('the browser had nothing to complain about, and asked nobody else', () => {
    expect(complaints).toEqual([]);
  });
});
