/** A small world: two APIs, a user, and one client of each sort. */
import { Browser, newPkce, type Seen } from './browser.ts';
import { basicAuth, startTestServer, type TestServer, type TestServerOptions } from './server.ts';

export const ORDERS = 'https://orders.example/api';
export const PHONES = 'https://phones.example/api';
export const PASSWORD = 'lantern-orbit-velvet-7';

export interface TestClient {
  readonly id: string;
  readonly secret?: string | undefined;
  readonly redirect: string;
}

export interface Tokens {
  readonly access_token: string;
  readonly refresh_token?: string;
  readonly refresh_token_expires_in?: number;
  readonly id_token?: string;
  readonly scope?: string;
  readonly expires_in: number;
  readonly token_type: string;
}

export interface Answer<T = Record<string, unknown>> {
  readonly status: number;
  readonly body: T;
  readonly headers: Headers;
}

export interface World extends TestServer {
  readonly web: TestClient;
  readonly spa: TestClient;
  readonly machine: TestClient;
  /** Introspects for ORDERS. */
  readonly gateway: TestClient;
  readonly userId: string;
  client(document: Record<string, unknown>): Promise<TestClient>;
  user(username: string, more?: Record<string, unknown>): Promise<string>;
  browser(): Browser;
  post<T = Record<string, unknown>>(
    path: string,
    form: Record<string, string>,
    client?: TestClient,
    headers?: Record<string, string>,
  ): Promise<Answer<T>>;
  /** From the authorization request to the code, signing in and consenting as asked. */
  authorize(client: TestClient, options?: AuthorizeOptions): Promise<Authorized>;
  /** A whole code flow. */
  tokens(client: TestClient, options?: AuthorizeOptions): Promise<Tokens & Authorized>;
  refresh(client: TestClient, token: string, more?: Record<string, string>): Promise<Answer<Tokens>>;
  introspect(token: string, client?: TestClient): Promise<Record<string, unknown>>;
  userinfo(token: string): Promise<Answer>;
}

export interface AuthorizeOptions {
  readonly params?: Record<string, string | undefined>;
  readonly browser?: Browser;
  readonly username?: string;
}

export interface Authorized {
  readonly browser: Browser;
  readonly verifier: string;
  readonly result: URLSearchParams;
  readonly code: string;
}

/** Answers sign-in and consent pages until the browser leaves for the client. */
export async function passPages(
  browser: Browser,
  seen: Seen,
  username = 'alice',
  password = PASSWORD,
): Promise<Seen> {
  let now = seen;
  for (let pages = 0; pages < 5 && now.page !== undefined; pages++) {
    if (now.page === 'login') now = await browser.submit(now, { username, password }, '/login');
    else if (now.page === 'consent') now = await browser.submit(now, { decision: 'allow' }, '/consent');
    else throw new Error(`stopped at ${now.page} (${now.status}): ${now.text.slice(0, 2000)}`);
  }
  return now;
}

export async function startWorld(options: TestServerOptions = {}): Promise<World> {
  const server = await startTestServer(options);
  const { accounts, clients, storage } = server.app.domain;
  const by = { actor: 'test', scopes: ['clients:write'] };
  for (const [identifier, scopes] of [
    [ORDERS, ['orders:read', 'orders:write']],
    [PHONES, ['phones:read']],
  ] as const) {
    await storage.apis.create(
      {
        identifier,
        name: `API of ${new URL(identifier).hostname}`,
        scopes: scopes.map((name) => ({ name, description: `May ${name}` })),
        accessTokenFormat: identifier === PHONES ? 'opaque' : 'jwt',
        accessTokenTtl: undefined,
        signingAlg: 'ES256',
      },
      { type: 'api.created', detail: { identifier } },
    );
  }
  const client = async (document: Record<string, unknown>): Promise<TestClient> => {
    const made = await clients.create(document, by);
    return {
      id: made.client.id,
      secret: made.secret?.value,
      redirect: made.client.metadata.redirect_uris[0] ?? '',
    };
  };
  const user = async (username: string, more: Record<string, unknown> = {}): Promise<string> =>
    (await accounts.create({ username, password: PASSWORD, ...more }, by)).id;
  const userId = await user('alice', {
    name: 'Alice Adams',
    email: 'alice@example.com',
    email_verified: true,
    claims: {
      given_name: 'Alice',
      phone_number: '+4930123456',
      phone_number_verified: true,
      address: { street_address: 'Main Street 1', locality: 'Berlin' },
    },
  });
  const scope = 'openid profile email address phone offline_access orders:read orders:write phones:read';
  const code = ['authorization_code', 'refresh_token'];
  const web = await client({
    client_id: 'web',
    client_name: 'Web shop',
    redirect_uris: ['https://shop.example/cb'],
    post_logout_redirect_uris: ['https://shop.example/out'],
    grant_types: code,
    scope,
  });
  const spa = await client({
    client_id: 'spa',
    client_name: 'Single page',
    redirect_uris: ['https://spa.example/cb'],
    grant_types: code,
    token_endpoint_auth_method: 'none',
    allowed_origins: ['https://spa.example'],
    scope,
  });
  const machine = await client({
    client_id: 'machine',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    scope: 'orders:read phones:read',
  });
  const gateway = await client({
    client_id: 'gateway',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    serves: [ORDERS, PHONES],
    scope: 'orders:read',
  });

  const browser = (): Browser => new Browser(server.url);
  const post = async <T>(
    path: string,
    form: Record<string, string>,
    as?: TestClient,
    headers: Record<string, string> = {},
  ): Promise<Answer<T>> => {
    const body = new URLSearchParams(form);
    const auth: Record<string, string> =
      as?.secret === undefined ? {} : { authorization: basicAuth(as.id, as.secret) };
    if (as && as.secret === undefined) body.set('client_id', as.id);
    const response = await fetch(server.url + path, {
      method: 'POST',
      body,
      headers: { ...auth, ...headers },
    });
    const text = await response.text();
    let parsed: unknown = text;
    try {
      parsed = JSON.parse(text);
    } catch {
      // a page
    }
    return { status: response.status, body: parsed as T, headers: response.headers };
  };
  const authorize = async (as: TestClient, more: AuthorizeOptions = {}): Promise<Authorized> => {
    const used = more.browser ?? browser();
    const pkce = newPkce();
    const query = new URLSearchParams();
    const params: Record<string, string | undefined> = {
      client_id: as.id,
      redirect_uri: as.redirect,
      response_type: 'code',
      scope: 'openid orders:read',
      state: 'st ate',
      code_challenge: pkce.challenge,
      code_challenge_method: 'S256',
      ...more.params,
    };
    for (const [name, value] of Object.entries(params)) if (value !== undefined) query.set(name, value);
    const first = await used.go(`${server.url}/authorize?${query.toString()}`);
    const last = await passPages(used, first, more.username);
    const result = new URL(last.url).searchParams;
    return { browser: used, verifier: pkce.verifier, result, code: result.get('code') ?? '' };
  };
  return {
    ...server,
    web,
    spa,
    machine,
    gateway,
    userId,
    client,
    user,
    browser,
    post: post,
    authorize,
    async tokens(as, more) {
      const authorized = await authorize(as, more);
      if (authorized.code === '') throw new Error(`no code: ${authorized.result.toString()}`);
      const answer = await post<Tokens>(
        '/token',
        {
          grant_type: 'authorization_code',
          code: authorized.code,
          redirect_uri: as.redirect,
          code_verifier: authorized.verifier,
        },
        as,
      );
      if (answer.status !== 200) throw new Error(`no tokens: ${JSON.stringify(answer.body)}`);
      return { ...answer.body, ...authorized };
    },
    refresh: (as, token, more = {}) =>
      post('/token', { grant_type: 'refresh_token', refresh_token: token, ...more }, as),
    async introspect(token, as = gateway) {
      return (await post('/introspect', { token }, as)).body as Record<string, unknown>;
    },
    async userinfo(token) {
      const response = await fetch(`${server.url}/userinfo`, {
        headers: { authorization: `Bearer ${token}` },
      });
      return {
        status: response.status,
        headers: response.headers,
        body: (await response.json().catch(() => ({}))) as Record<string, unknown>,
      };
    },
  };
}
