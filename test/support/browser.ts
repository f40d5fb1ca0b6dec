/** A person at a browser without JavaScript: follows redirects, keeps cookies, fills in forms. */
import { createHash, randomBytes } from 'node:crypto';

/** A page or answer as the browser sees it. */
export interface Seen {
  readonly url: string;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The page's name, `<main data-page>`. */
  readonly page: string | undefined;
}

interface Cookie {
  readonly name: string;
  readonly value: string;
  readonly path: string;
}

const unescapeHtml = (text: string): string =>
  text
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&');

const attribute = (tag: string, name: string): string | undefined => {
  const value = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1];
  return value === undefined ? undefined : unescapeHtml(value);
};

export class Browser {
  readonly #cookies = new Map<string, Cookie>();
  readonly #origin: string;
  readonly headers: Record<string, string>;

  constructor(origin: string, headers: Record<string, string> = {}) {
    this.#origin = new URL(origin).origin;
    this.headers = { accept: 'text/html', ...headers };
  }

  /** Values of the cookies, by name. */
  get cookies(): Record<string, string> {
    return Object.fromEntries([...this.#cookies.values()].map(({ name, value }) => [name, value]));
  }

  #keep(header: string): void {
    const [pair = '', ...attributes] = header.split('; ');
    const at = pair.indexOf('=');
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    const path =
      attributes.find((each) => each.toLowerCase().startsWith('path='))?.slice('path='.length) ?? '/';
    const key = `${name} ${path}`;
    if (value === '' || attributes.some((each) => /^expires=Thu, 01 Jan 1970/i.test(each)))
      this.#cookies.delete(key);
    else this.#cookies.set(key, { name, value, path });
  }

  /** One request, no redirect followed. */
  async request(url: string, init: RequestInit = {}): Promise<Seen> {
    const target = new URL(url, this.#origin);
    const cookie = [...this.#cookies.values()]
      .filter(({ path }) => target.pathname.startsWith(path))
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
    const response = await fetch(target, {
      redirect: 'manual',
      ...init,
      headers: {
        ...this.headers,
        ...(cookie ? { cookie } : {}),
        ...(init.headers as Record<string, string>),
      },
    });
    for (const header of response.headers.getSetCookie()) this.#keep(header);
    const text = await response.text();
    return {
      url: target.href,
      status: response.status,
      headers: response.headers,
      text,
      page: /<main[^>]*data-page="([^"]*)"/.exec(text)?.[1],
    };
  }

  /** Follows redirects until a page, or until a redirect leaves this server: its target is the last `url`. */
  async go(url: string, init: RequestInit = {}): Promise<Seen> {
    let seen = await this.request(url, init);
    for (let hops = 0; hops < 15; hops++) {
      const location = seen.headers.get('location');
      if (seen.status < 300 || seen.status > 399 || location === null) return seen;
      const next = new URL(location, seen.url);
      if (next.origin !== this.#origin) return { ...seen, url: next.href, page: undefined };
      seen = await this.request(next.href);
    }
    throw new Error('too many redirects');
  }

  /** Submits the page's form that has `fields`' first name or button, hidden fields and all. */
  async submit(from: Seen, fields: Record<string, string>, actionEnds?: string): Promise<Seen> {
    const forms = [...from.text.matchAll(/<form[\s\S]*?<\/form>/g)].map(([form]) => form);
    const form = forms.find((each) => {
      const action = attribute(/<form[^>]*>/.exec(each)?.[0] ?? '', 'action') ?? '';
      return actionEnds === undefined ? /method="post"/i.test(each) : action.endsWith(actionEnds);
    });
    if (form === undefined) throw new Error(`no form on ${from.url}: ${from.text.slice(0, 500)}`);
    const body = new URLSearchParams();
    for (const [tag] of form.matchAll(/<input[^>]*>/g)) {
      const name = attribute(tag, 'name');
      if (name !== undefined && /type="hidden"/.test(tag)) body.set(name, attribute(tag, 'value') ?? '');
    }
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    const action = attribute(/<form[^>]*>/.exec(form)?.[0] ?? '', 'action') ?? from.url;
    return this.go(new URL(action, from.url).href, { method: 'POST', body });
  }
}

export interface Pkce {
  readonly verifier: string;
  readonly challenge: string;
}

export function newPkce(): Pkce {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}
