/** A browser of the simplest kind: cookies, redirects and forms. It stands for the person at the sign-in pages. */
import { Failure } from '../failure.ts';

const REDIRECTS = 10;

/** A form on a page. */
interface Form {
  readonly action: string;
  readonly hidden: Readonly<Record<string, string>>;
  /** Names of everything that it may post. */
  readonly names: readonly string[];
}

/** A page of the server. */
export interface Page {
  /** What `<main data-page>` says; empty when there is none. */
  readonly name: string;
  /** Its text on one line. */
  readonly text: string;
  readonly forms: readonly Form[];
  readonly url: string;
}

/** Where a visit ends: at a page, or at the redirect to the app. */
export type Arrival = { readonly page: Page } | { readonly redirect: URL };

/** See the top of the file. */
export interface UserAgent {
  /** Follows redirects until a page, or the app's redirect URI, comes. */
  visit(url: string): Promise<Arrival>;
  /** Fills in the form that has all the given fields, and submits it. */
  submit(page: Page, fields: Readonly<Record<string, string>>): Promise<Arrival>;
}

/**
 * @param origin where the server answers here; URLs of `issuer` are asked for there
 * @param redirectUri of the app: it ends a visit
 */
export function createUserAgent(origin: string, issuer: string, redirectUri: string): UserAgent {
  const cookies = new Map<string, { readonly name: string; readonly value: string; readonly path: string }>();
  const published = new URL(issuer).origin;

  const request = (url: URL, form?: URLSearchParams): Promise<Response> => {
    const sent = [...cookies.values()].filter(({ path }) => covers(path, url.pathname));
    return fetch(url.href, {
      method: form ? 'POST' : 'GET',
      redirect: 'manual',
      headers: {
        accept: 'text/html',
        ...(form ? { origin: published } : {}),
        ...(sent.length > 0 ? { cookie: sent.map(({ name, value }) => `${name}=${value}`).join('; ') } : {}),
      },
      ...(form ? { body: form } : {}),
    });
  };

  const go = async (start: string, form?: URLSearchParams): Promise<Arrival> => {
    let [target, body] = [start, form];
    for (let hop = 0; hop < REDIRECTS; hop++) {
      if (target === redirectUri || target.startsWith(`${redirectUri}?`))
        return { redirect: new URL(target) };
      const url = new URL(target);
      if (url.origin !== origin && url.origin !== published) {
        throw new Failure(`the server redirects to another one: ${url.origin}`);
      }
      const here = new URL(url.pathname + url.search, origin);
      const response = await request(here, body);
      keep(cookies, response.headers.getSetCookie(), here.pathname);
      const location = response.headers.get('location');
      const html = await response.text();
      if (response.status < 300 || response.status >= 400 || location === null) {
        return { page: read(html, here.href) };
      }
      if (body && (response.status === 307 || response.status === 308)) {
        throw new Failure('the server would have the password sent on (status 307 after a form)'); // RFC 9700, 4.12
      }
      target = new URL(location, here).href;
      body = undefined;
    }
    throw new Failure('the server redirects in circles');
  };

  return {
    visit: (url) => go(url),
    async submit(page, fields) {
      const form = page.forms.find(({ names }) => Object.keys(fields).every((name) => names.includes(name)));
      if (!form)
        throw new Failure(`the page ${page.name} has no form with ${Object.keys(fields).join(', ')}`);
      return go(new URL(form.action, page.url).href, new URLSearchParams({ ...form.hidden, ...fields }));
    },
  };
}

/** Path matching of RFC 6265, 5.1.4. */
const covers = (path: string, asked: string): boolean =>
  asked === path || asked.startsWith(path.endsWith('/') ? path : `${path}/`);

function keep(
  cookies: Map<string, { name: string; value: string; path: string }>,
  headers: readonly string[],
  asked: string,
): void {
  for (const header of headers) {
    const [pair = '', ...attributes] = header.split(';').map((part) => part.trim());
    const at = pair.indexOf('=');
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    const given = attributes.find((each) => /^path=\//i.test(each))?.slice('path='.length);
    const path = given ?? (asked.slice(0, asked.lastIndexOf('/')) || '/');
    const key = `${path};${name}`;
    if (value === '') cookies.delete(key);
    else cookies.set(key, { name, value, path });
  }
}

function read(html: string, url: string): Page {
  const [, opening = '', main = ''] = /<main\b([^>]*)>([^]*?)<\/main>/.exec(html) ?? [];
  return {
    name: attributesOf(opening)['data-page'] ?? '',
    text: unescape(main.replaceAll(/<[^>]*>/g, ' '))
      .replaceAll(/\s+/g, ' ')
      .trim(),
    forms: [...main.matchAll(/<form\b([^>]*)>([^]*?)<\/form>/g)].map(([, attributes = '', inner = '']) => {
      const controls = [...inner.matchAll(/<(?:input|button)\b([^>]*)>/g)].map(([, each = '']) =>
        attributesOf(each),
      );
      const hidden = controls.filter((each) => each['type'] === 'hidden');
      return {
        action: attributesOf(attributes)['action'] ?? '',
        hidden: Object.fromEntries(hidden.map((each) => [each['name'] ?? '', each['value'] ?? ''])),
        names: controls.flatMap((each) => each['name'] ?? []),
      };
    }),
    url,
  };
}

const attributesOf = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...text.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, unescape(value)]),
  );

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

const unescape = (text: string): string =>
  text.replaceAll(
    /&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]+));/gi,
    (all: string, ...groups: (string | undefined)[]) => {
      const [decimal, hex, name = ''] = groups;
      const point = decimal ? Number(decimal) : hex ? Number.parseInt(hex, 16) : undefined;
      return point === undefined ? (ENTITIES[name] ?? all) : String.fromCodePoint(Math.min(point, 0x10ffff));
    },
  );
