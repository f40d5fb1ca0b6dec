/** Authorization requests as a client sends them, and their answers taken apart. */
import { newPkce, type Browser, type Seen } from '../../support/browser.ts';
import type { TestClient, World } from '../../support/fixtures.ts';

export type Params = Readonly<Record<string, string | readonly string[] | undefined>>;

/** One answer to an authorization request. */
export interface Reply {
  readonly seen: Seen;
  readonly status: number;
  /** The page that is shown; undefined when the browser is sent to the client. */
  readonly page: string | undefined;
  /** Where the browser is sent: without its query, and the query. */
  readonly target: string | undefined;
  readonly result: URLSearchParams;
  readonly error: string | null;
}

/** The query of a request that is fine, but for what `params` changes; undefined leaves a parameter out. */
export function authorizationQuery(client: TestClient, params: Params = {}): string {
  const query = new URLSearchParams();
  const all: Params = {
    client_id: client.id,
    redirect_uri: client.redirect,
    response_type: 'code',
    scope: 'openid orders:read',
    state: 'st ate',
    code_challenge: newPkce().challenge,
    code_challenge_method: 'S256',
    ...params,
  };
  for (const [name, values] of Object.entries(all))
    for (const value of [values].flat()) if (typeof value === 'string') query.append(name, value);
  return query.toString();
}

/** What a browser got in the end. */
export function replyOf(seen: Seen): Reply {
  const away = seen.headers.get('location');
  const url = away === null ? undefined : new URL(away, seen.url);
  const result = url?.searchParams ?? new URLSearchParams();
  return {
    seen,
    status: seen.status,
    page: seen.page,
    target: url && url.href.replace(/[?#].*$/, ''),
    result,
    error: result.get('error'),
  };
}

/** Sends an authorization request and follows it until a page, or until it leaves for the client. */
export async function ask(
  world: World,
  client: TestClient,
  params: Params = {},
  browser: Browser = world.browser(),
): Promise<Reply> {
  return replyOf(await browser.go(`${world.url}/authorize?${authorizationQuery(client, params)}`));
}

/** A browser in which somebody has signed in and allowed `web` what `scope` asks for. */
export async function signedIn(
  world: World,
  { username = 'alice', scope = 'openid orders:read' } = {},
): Promise<Browser> {
  const { browser } = await world.authorize(world.web, { username, params: { scope } });
  return browser;
}
