import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { StartError } from '../../src/lib/errors.ts';
import { bundledViews, localesIn } from '../../src/http/locales.ts';
import { contrast, readBrand, themes } from '../../src/http/views-brand.ts';
import type { Page } from '../../src/http/views.ts';
import { createViews } from '../../src/http/views.ts';
import { SCOPE_CLAIMS } from '../../src/users/claims.ts';
import { states } from '../browser/support/states.ts';

const views = createViews();
const show = (page: Page, locale = 'en', basePath = ''): string =>
  views.render(page, { locale, requestId: 'req-1', basePath });
const state = (name: string): Page => {
  const found = states[name];
  if (!found) throw new Error(`no state ${name}`);
  return found;
};
const all = (pattern: RegExp, html: string): string[] => [...html.matchAll(pattern)].map((m) => m[1] ?? m[0]);
const css = readFileSync(`${bundledViews}/assets/style.css`, 'utf8');
const templates = readdirSync(bundledViews, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.eta'))
  .map((name) => readFileSync(`${bundledViews}/${name}`, 'utf8'));
/** What says a message by `text` rather than in a template. */
const sources = readdirSync('src/http', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(`src/http/${name}`, 'utf8'));
/** Whether a source says a message, `say(deps, ctx, 'topic')` or part by part, as a page of its own. */
const said = (source: string, key: string): boolean =>
  all(/say\(deps, ctx, '([\w.-]+)'/g, source).some((topic) => key.startsWith(`${topic}.`)) ||
  source.includes(`'${key}'`) ||
  (source.includes('`verify.${') && key.startsWith('verify.'));
const catalogue = (locale: string) =>
  JSON.parse(readFileSync(`${bundledViews}/messages/${locale}.json`, 'utf8')) as Record<string, string>;

const cases = Object.keys(states).flatMap((name) => ['en', 'de'].map((locale) => ({ name, locale })));

describe('every page in every state', () => {
  it.each(cases)('$name in $locale is whole: language, page name, title, no gap in the text', (one) => {
    const html = show(state(one.name), one.locale);
    expect(html).toMatch(new RegExp(`^<!doctype html>\n<html lang="${one.locale}" dir="ltr">`));
    expect(all(/<main data-page="([^"]*)"/g, html)).toEqual([state(one.name).page]);
    expect(all(/<h1>/g, html)).toHaveLength(1);
    expect(all(/<title>(.+) · Portcullis<\/title>/g, html)).toHaveLength(1);
    expect(html).not.toMatch(/undefined|\[object|\bNaN\b|\{\w+\}|<%|%>/);
  });

  it.each(cases)('$name in $locale has nothing inline, no script, and loads only from here', (one) => {
    const whole = show(state(one.name), one.locale);
    // Passkeys alone need a script: one file, in the head.
    const script = /<script src="(\/assets\/passkeys\.[\w-]{16}\.js)" type="module"><\/script>\n<\/head>/;
    const [, passkeys] = script.exec(whole) ?? [];
    expect(passkeys !== undefined).toBe(whole.includes('<form') && whole.includes(' data-passkey='));
    if (passkeys !== undefined) expect(views.asset(passkeys.slice('/assets/'.length))).toBeDefined();
    const html = whole.replace(script, '');
    expect(html).not.toMatch(/<script|<style|\sstyle=|\son\w+=|javascript:|<iframe|<object|<base/i);
    const loaded = [...all(/<img[^>]* src="([^"]*)"/g, html), ...all(/<link[^>]* href="([^"]*)"/g, html)];
    expect(loaded.length).toBeGreaterThan(0);
    for (const url of loaded) {
      expect(url).toMatch(/^\/assets\/[\w-]+\.[\w-]{16}\.(css|svg)$/);
      expect(views.asset(url.slice('/assets/'.length))).toBeDefined();
    }
    expect(html).not.toContain('logo.png');
  });

  it.each(cases)('$name in $locale: each form is a POST with its CSRF field', (one) => {
    for (const form of all(/<form([^]*?)<\/form>/g, show(state(one.name), one.locale))) {
      expect(form).toContain('method="post"');
      expect(all(/<input type="hidden" name="csrf" value="c5rf-t0ken">/g, form)).toHaveLength(1);
    }
  });

  it.each(cases)('$name in $locale: ids are unique, and whatever is pointed at is there', (one) => {
    const html = show(state(one.name), one.locale);
    const ids = all(/\sid="([^"]*)"/g, html);
    expect(new Set(ids).size).toBe(ids.length);
    const pointed = all(/\s(?:aria-describedby|aria-labelledby|for)="([^"]*)"/g, html).flatMap((v) =>
      v.split(' '),
    );
    for (const id of [...pointed, ...all(/href="#([^"]*)"/g, html)]) expect(ids).toContain(id);
  });

  it.each(cases)('$name in $locale says an error in the title and the summary, and only then', (one) => {
    const html = show(state(one.name), one.locale);
    const problem = one.name.startsWith('problem-');
    const word = one.locale === 'de' ? 'Fehler: ' : 'Error: ';
    expect(html.includes(`<title>${word}`)).toBe(problem || one.name.startsWith('error-'));
    expect(html.includes('role="alert" tabindex="-1" autofocus')).toBe(problem);
    expect(all(/ autofocus/g, html).length).toBeLessThanOrEqual(1);
  });
});

describe('the states', () => {
  it('show every message: no page has a state that is not among them', () => {
    const viewsDir = mkdtempSync(join(tmpdir(), 'states-'));
    cpSync(bundledViews, viewsDir, { recursive: true });
    const keys = Object.keys(catalogue('en'));
    const named = Object.fromEntries(keys.map((key) => [key, `[[${key}]]`]));
    writeFileSync(`${viewsDir}/messages/en.json`, JSON.stringify({ ...named, dir: 'ltr' }));
    const naming = createViews({ viewsDir });
    const context = { locale: 'en', requestId: 'req-1', basePath: '' };
    const shown = Object.values(states).flatMap((page) =>
      all(/\[\[([^\]]+)\]\]/g, naming.render(page, context)),
    );
    rmSync(viewsDir, { recursive: true });
    // Those are said by `text`, in mails and as a message.
    const others = keys.filter(
      (key) => key.startsWith('mail.') || sources.some((source) => said(source, key)),
    );
    expect(keys.filter((key) => key !== 'dir' && !shown.includes(key) && !others.includes(key))).toEqual([]);
  });

  it('show every error that a form can have', () => {
    const types = ['views-pages', 'views-account'].map((name) => readFileSync(`src/http/${name}.ts`, 'utf8'));
    const faults = types.flatMap((source) =>
      all(/export interface \w+Page [^]*?\n}/g, source).flatMap((type) => {
        const [page, step, section] = ['page', 'step', 'section'].map(
          (name) => new RegExp(`readonly ${name}: '([\\w-]+)'`).exec(type)?.[1],
        );
        const fields = [...type.matchAll(/readonly (\w+)\?:((?:\s*\|?\s*'[\w-]+')+) \| undefined/g)];
        return fields.flatMap(([, field = '', codes = '']) =>
          all(/'([\w-]+)'/g, codes).map((code) => ({
            page: page ?? 'account',
            ...(step !== undefined && { step }),
            ...(section !== undefined && { section }),
            ...(field === 'error'
              ? { error: code }
              : { errors: expect.objectContaining({ [field]: code }) as unknown }),
          })),
        );
      }),
    );
    expect(faults.length).toBeGreaterThan(30);
    const missing = faults.filter(
      (fault) => !Object.values(states).some((page) => expect.objectContaining(fault).asymmetricMatch(page)),
    );
    expect(missing).toEqual([]);
  });
});

describe('text from elsewhere', () => {
  const CODES = ['page', 'step', 'section', 'error', 'kind', 'current', 'next', 'repeat'];
  const poison = (page: Page, text: string): Page => {
    const poisoned = JSON.parse(JSON.stringify(page), (key, value: unknown) =>
      typeof value === 'string' && !CODES.includes(key) ? text : value,
    ) as Page;
    return 'errors' in page ? ({ ...poisoned, errors: page.errors } as Page) : poisoned; // codes, all of them
  };

  it.each(Object.keys(states))('%s escapes every field', (name) => {
    const attack = `"'><img src=x onerror=alert(1)>&lt;`;
    const html = show(poison(state(name), attack));
    expect(all(/<img /g, html)).toHaveLength(1);
    expect(html).not.toContain(attack);
    expect(all(/="[^"]*"'/g, html)).toEqual([]);
  });

  it.each(Object.keys(states))('%s links only to http, https and paths of this server', (name) => {
    for (const bad of [
      'javascript:alert(1)',
      'data:text/html,x',
      '//evil.example',
      '/\\evil.example',
      'mailto:a@b',
    ]) {
      const hrefs = all(/href="([^"]*)"/g, show(poison(state(name), bad)));
      expect(hrefs.filter((href) => !/^(#|\/assets\/|\/account|\/logout)/.test(href))).toEqual([]);
    }
  });

  it.each(Object.keys(states))('%s lets no name turn the direction of the text', (name) => {
    const html = show(poison(state(name), 'a\u202eb\u2066c\u2069d\u200fe'));
    expect(html).not.toMatch(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/);
  });

  it('sets names apart in <bdi>, also inside a sentence', () => {
    expect(show(state('consent'))).toContain('<h1><bdi>Acme Notes</bdi> asks for access');
    expect(show(state('consent'))).toContain('<bdi>notes.example</bdi>');
  });

  it('a placeholder in a name stays a word', () => {
    const html = show({ page: 'login', action: '/', csrf: 'c', client: { name: '{client} $& {brand}' } });
    expect(html).toContain('<bdi>{client} $&amp; {brand}</bdi>');
  });
});

describe('sign-in', () => {
  it('posts username and password, known to password managers', () => {
    const html = show(state('login'));
    expect(html).toMatch(/<input id="username" name="username" type="text" autocomplete="username"/);
    expect(html).toMatch(
      /<input id="password" name="password" type="password" autocomplete="current-password"/,
    );
  });

  it.each(['problem-login-invalid', 'problem-login-throttled'])(
    '%s keeps the name, not the password',
    (name) => {
      expect(show(state(name))).toContain('value="ada"');
      expect(all(/<input[^>]*type="password"[^>]*value=/g, show(state(name)))).toEqual([]);
    },
  );

  it('says when to come back, rounded up', () => {
    expect(show(state('problem-login-throttled'))).toContain('You can try again in 5 minutes.');
    expect(show(state('problem-login-throttled'), 'de')).toContain('in 5 Minuten wieder versuchen');
    expect(show(state('problem-device-throttled'))).toContain('in 30 seconds');
  });

  it('puts the message beside its field', () => {
    const html = show(state('problem-login-missing'));
    expect(html).toContain('<p class="wrong" id="username-error">Enter your username.</p>');
    expect(html).toMatch(/id="username"[^>]*aria-describedby="username-error" aria-invalid="true"/);
    expect(show(state('problem-login-missing-password'))).not.toContain('username-error');
  });
});

describe('consent', () => {
  const asked = (html: string) => html.replace(/<details>[^]*?<\/details>/g, '');

  it('names client, account, APIs and each scope in words', () => {
    const html = show(state('consent'));
    for (const text of ['Acme Notes', 'Ada Lovelace', 'Acme Orders', 'Acme Calendar', 'Read your orders']) {
      expect(html).toContain(text);
    }
    expect(html).toContain('See your email address');
    expect(show(state('consent'), 'de')).toContain('Ihre E-Mail-Adresse sehen');
    expect(all(/name="decision" value="(\w+)"/g, html)).toEqual(['allow', 'deny']);
    expect(html).toContain('action="/interaction/4Tq/switch"');
  });

  it('asks only for what is new; the rest is folded away', () => {
    const html = show(state('consent-more'));
    expect(all(/data-scope="([^"]*)"/g, asked(html))).toEqual(['orders:write']);
    expect(all(/data-scope="([^"]*)"/g, html)).toHaveLength(6);
  });

  it('says that access outlives the sign-out exactly when it does', () => {
    expect(show(state('consent'))).toContain('Access goes on after you sign out');
    expect(show(state('consent-more'))).not.toContain('after you sign out');
    const refused = { ...state('consent-offline-only'), offline: false } as Page;
    expect(asked(show(refused))).not.toContain('offline_access');
  });

  it('an API cannot borrow the words of an OpenID Connect scope', () => {
    const page = {
      ...state('consent'),
      scopes: [{ api: 'Evil', name: 'email', description: 'Sell it' }],
    } as Page;
    expect(show(page)).toContain('Sell it');
  });
});

describe('message catalogues', () => {
  it.each(['en', 'de'])('%s has words for every claim and scope of OpenID Connect', (locale) => {
    const words = catalogue(locale);
    for (const [scope, claims] of Object.entries(SCOPE_CLAIMS)) {
      expect(words[`scope.${scope}`], scope).toBeTruthy();
      for (const claim of claims) expect(words[`claim.${claim}`], claim).toBeTruthy();
    }
  });

  const english = catalogue('en');
  const holes = (text: string | undefined) => all(/\{(\w+)\}/g, text ?? '').sort();

  it.each(localesIn(bundledViews))(
    '%s has every message, with the same placeholders, and none besides',
    (locale) => {
      const other = catalogue(locale);
      expect(Object.keys(other).sort()).toEqual(Object.keys(english).sort());
      for (const [key, text] of Object.entries(english)) {
        expect(other[key]?.trim(), key).toBeTruthy();
        expect(holes(other[key]), key).toEqual(holes(text));
      }
    },
  );

  it('every message is used', () => {
    const said = new Set<string>();
    const used = [...templates, ...sources].join('\n');
    const topics = all(/say\(deps, ctx, '([\w.-]+)'/g, used).map((topic) => `${topic}.`);
    const families = all(/`([\w.-]+\.)\$\{/g, used).concat('scope.', 'claim.', topics);
    for (const key of Object.keys(english)) {
      if (used.includes(`'${key}'`) || families.some((family) => key.startsWith(family))) said.add(key);
    }
    expect(Object.keys(english).filter((key) => !said.has(key) && key !== 'dir')).toEqual([]);
  });

  it('an unknown language is answered in English, an unknown message is a mistake', () => {
    expect(show(state('login'), 'tlh')).toContain('<html lang="en"');
    expect(views.text('de', 'back-to', { client: 'X' })).toBe('Zurück zu X');
    expect(() => views.text('en', 'no.such')).toThrow('no.such');
  });
});

describe('look', () => {
  const ratios = Object.entries(themes(css)).flatMap(([theme, colour]) =>
    [
      ['ink', 'page', 4.5],
      ['ink', 'card', 4.5],
      ['muted', 'page', 4.5],
      ['muted', 'card', 4.5],
      ['accent', 'page', 4.5],
      ['accent', 'card', 4.5],
      ['accent', 'tint', 4.5],
      ['on-accent', 'accent', 4.5],
      ['bad', 'card', 4.5],
      ['card', 'bad', 4.5],
      ['ink', 'tint', 4.5],
      ['ink', 'bad-tint', 4.5],
      ['ink', 'good-tint', 4.5],
      ['ink', 'warn-tint', 4.5],
      ['edge', 'card', 3],
    ].map(([a, b, least]) => ({ theme, a: String(a), b: String(b), least: Number(least), colour })),
  );

  it.each(ratios)('$theme: $a on $b reaches $least to 1', ({ a, b, least, colour }) => {
    expect(contrast(colour[a] ?? '', colour[b] ?? '')).toBeGreaterThanOrEqual(least);
  });

  it('the whole style is at most 8 kB and loads nothing', () => {
    expect(Buffer.byteLength(css)).toBeLessThanOrEqual(6400);
    expect(css).not.toMatch(/url\(|@import/);
  });

  it('assets are named by content, under the path of the issuer', () => {
    const html = show(state('account-apps'), 'en', '/id');
    const [name = ''] = all(/href="\/id\/assets\/(style\.[^"]*)"/g, html);
    expect(views.asset(name)).toMatchObject({
      type: 'text/css; charset=utf-8',
      etag: `"${name.split('.')[1]}"`,
    });
    expect(html).toContain('href="/id/account/password"');
    for (const none of ['style.css', '../layout.eta', '__proto__', ''])
      expect(views.asset(none)).toBeUndefined();
  });
});

describe('brand', () => {
  const sheet = (options: Parameters<typeof createViews>[0]) => {
    const made = createViews(options);
    const html = made.render(state('login'), { locale: 'en', requestId: 'r', basePath: '' });
    const [name = ''] = all(/assets\/(style\.[^"]*)"/g, html);
    return { html, name, css: made.asset(name)?.body.toString() ?? '', made };
  };

  it('takes name, logo and accent, and finds the readable colour on it', () => {
    const logo = {
      body: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'),
      extension: '.svg',
    } as const;
    const own = sheet({ brand: { name: 'Acme <ID>', logo, accent: { light: '#7a1f5c', dark: '#f2b8dc' } } });
    expect(own.html).toContain('<span>Acme &lt;ID&gt;</span>');
    expect(own.css).toContain('--accent: #7a1f5c; --on-accent: #ffffff');
    expect(own.css).toContain('--accent: #f2b8dc; --on-accent: #000000');
    expect(own.name).not.toBe(sheet({}).name);
    const [mark = ''] = all(/assets\/(mark\.[^"]*)"/g, own.html);
    expect(own.made.asset(mark)?.body).toEqual(logo.body);
  });

  it.each([
    { light: '#f2b8dc', dark: '#f2b8dc' },
    { light: '#7a1f5c', dark: '#7a1f5c' },
    { light: 'red;}', dark: '#f2b8dc' },
  ])('an accent that cannot be read, $light and $dark, stops the start', (accent) => {
    expect(() => createViews({ brand: { accent } })).toThrow(StartError);
  });

  it('the refusal names the setting, the colour and its contrast', () => {
    const accent = { light: '#0d5868', dark: '#555555' };
    expect(() => createViews({ brand: { accent } })).toThrow(
      'PORTCULLIS_BRAND_ACCENT: #555555 has a contrast of 2.1 to 1 with dark pages; text needs 4.5 to 1',
    );
  });

  it('is read from the settings; a logo that is none stops the start', () => {
    const folder = mkdtempSync(join(tmpdir(), 'brand-'));
    const file = (name: string, content: string | Buffer): string => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const read = (logo: string) => readBrand({ name: 'Acme', logo, accent: undefined });
    const svg = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>';
    expect(read(file('a.svg', svg))).toMatchObject({ name: 'Acme', logo: { extension: '.svg' } });
    const png = Buffer.from('89504e470d0a1a0a00', 'hex');
    expect(read(file('a.png', png)).logo).toEqual({ body: png, extension: '.png' });
    for (const [path, reason] of [
      [join(folder, 'none.svg'), 'cannot be read (ENOENT)'],
      [file('b.svg', '<html></html>'), 'is no SVG'],
      [file('b.png', svg), 'is no PNG'],
      [file('c.svg', svg + ' '.repeat(256 * 1024)), 'is larger than 256 KiB'],
    ] as const)
      expect(() => read(path)).toThrow(`PORTCULLIS_BRAND_LOGO: ${path} ${reason}`);
    rmSync(folder, { recursive: true });
  });
});
