import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import type { AxeResults, RunOptions } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundledViews } from '../../src/http/locales.ts';
import { createViews } from '../../src/http/views.ts';
import { findChromium, launchChromium } from './support/chromium.ts';
import { serveStates } from './support/serve.ts';
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
};
/** Languages of the tests' own: half as long again with accents, and the same written from right to left. */
const PSEUDO = { 'en-XA': 'ltr', 'ar-XB': 'rtl' } as const;

let folder: string;
let server: Awaited<ReturnType<typeof serveStates>>;
let browser: Browser;
let page: Page;
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
const UNFOLD = 'for (const details of document.querySelectorAll("details")) details.open = true';
const OUTLINE =
  '(({ outlineStyle, outlineWidth }) => `${outlineStyle} ${outlineWidth}`)(getComputedStyle(document.activeElement))';
const overflow = (): Promise<number> => page.evaluate<number>(OVERFLOW);
const focused = (attribute: string): Promise<string | null> =>
  page.evaluate<string | null>(`document.activeElement.getAttribute("${attribute}")`);

const photograph = async (name: string): Promise<void> => {
  await page.screenshot({ path: `${SCREENS}/${name}.png`, fullPage: true, animations: 'disabled' });
};

/** Lets axe look: `rule: elements` for each violation, and for each contrast it cannot tell. */
async function examine(): Promise<string[]> {
  const found = await page.evaluate<AxeResults>(`axe.run(${JSON.stringify(RULES)})`);
  return [...found.violations, ...found.incomplete.filter(({ id }) => id === 'color-contrast')].map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`,
  );
}

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
    server = await serveStates(createViews({ viewsDir: folder }));
    browser = await launchChromium(chromium ?? '');
    page = await browser.newPage();
    page.on('console', (message) => complaints.push(message.text()));
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url)) complaints.push(request.url());
    });
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  const looks = THEMES.flatMap((theme) => [NARROW, WIDE].map((size) => ({ theme, size, locale: 'en' })));
  const german = [{ theme: 'light', size: NARROW, locale: 'de' } as const];

  it.each(Object.keys(states))(
    '%s breaks no WCAG 2.2 AA rule and fits, at 320 and 1280 px, light and dark',
    async (name) => {
      for (const sameDocument of [looks, german]) {
        await open(`${sameDocument[0]?.locale}/${name}`);
        const each = async (act: (where: string) => Promise<void>) => {
          for (const { theme, size, locale } of sameDocument) {
            await page.emulateMedia({ colorScheme: theme });
            await page.setViewportSize(size);
            await act(`${name}-${size.width}-${theme}-${locale}`);
          }
        };
        await each((where) => photograph(where));
        await page.evaluate(UNFOLD);
        if (await page.locator('details').count()) await each((where) => photograph(`${where}-open`));
        await page.evaluate(axe.source);
        await each(async (where) => {
          expect(await examine(), where).toEqual([]);
          expect(await overflow(), where).toBe(0);
        });
      }
    },
    120_000,
  );

  it('fits at 320 px in longer languages, and in ones written from right to left', async () => {
    for (const locale of Object.keys(PSEUDO)) {
      for (const name of Object.keys(states)) {
        await open(`${locale}/${name}`, NARROW);
        expect(await page.getAttribute('html', 'lang')).toBe(locale);
        expect(await overflow(), `${name} in ${locale}`).toBe(0);
        if (name === 'consent' || name === 'account-apps') {
          await photograph(`${name}-320-light-${locale}`);
        }
      }
    }
  }, 120_000);

  it('fits when text is twice as large', async () => {
    for (const name of Object.keys(states)) {
      await open(`en/${name}`, { width: 640, height: 800 });
      await page.evaluate('document.documentElement.style.fontSize = "200%"');
      expect(await overflow(), name).toBe(0);
    }
  }, 60_000);

  it('a form with errors has the focus on its summary, whose links lead to the fields', async () => {
    for (const name of Object.keys(states).filter((state) => state.startsWith('problem-'))) {
      await open(`en/${name}`);
      expect(await focused('role'), name).toBe('alert');
      for (const link of await page.locator('[role=alert] a').all()) {
        const field = (await link.getAttribute('href'))?.slice(1);
        await link.press('Enter');
        expect(await focused('id'), name).toBe(field);
      }
    }
  }, 60_000);

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
