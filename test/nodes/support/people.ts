/** A user, a client, and whole flows through real processes. */
import { Browser, newPkce, type Seen } from '../../support/browser.ts';
import { PASSWORD, passPages, type Tokens } from '../../support/fixtures.ts';
import { basicAuth } from '../../support/server.ts';
import { administer, type Cluster } from './processes.ts';

const REDIRECT = 'https://shop.example/cb';

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly headers: Headers;
}

export interface People {
  /** Begins an authorization: what the browser sees, and how to go on from there to the tokens. */
  begin(): Promise<{ readonly seen: Seen; finish(): Promise<Tokens> }>;
  /** A whole code flow. */
  signIn(): Promise<Tokens>;
  refresh(token: string, url?: string): Promise<Answer>;
  introspect(token: string, url?: string): Promise<boolean>;
  introspection(token: string): Promise<Answer>;
  revoke(token: string): Promise<Answer>;
  /** A token of the client's own. */
  own(url?: string): Promise<Answer>;
}

async function post(
  url: string,
  form: Record<string, string>,
  client: readonly [string, string],
): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: basicAuth(...client) },
    body: new URLSearchParams(form),
  });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  };
}

/** @param issuer where browsers and clients go, unless a call names a node */
export async function invite(issuer: string, cluster: Cluster, grace = 0): Promise<People> {
  const made = await administer<{ client_secret: string }>(issuer, cluster, 'POST', '/clients', {
    client_id: 'shop',
    redirect_uris: [REDIRECT],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    scope: 'openid offline_access',
    serves: [`${issuer}/api`],
    rotation_grace: grace,
  });
  await administer(issuer, cluster, 'POST', '/users', { username: 'alice', password: PASSWORD });
  const client = ['shop', made.client_secret] as const;
  const begin: People['begin'] = async () => {
    const browser = new Browser(issuer);
    const { verifier, challenge } = newPkce();
    const query = new URLSearchParams({
      client_id: 'shop',
      redirect_uri: REDIRECT,
      response_type: 'code',
      scope: 'openid offline_access',
      prompt: 'consent',
      code_challenge: challenge,
      code_challenge_method: 'S256',
    });
    const seen = await browser.go(`${issuer}/authorize?${query.toString()}`);
    return {
      seen,
      async finish() {
        const last = await passPages(browser, seen);
        const code = new URL(last.url).searchParams.get('code') ?? '';
        const form = {
          grant_type: 'authorization_code',
          code,
          redirect_uri: REDIRECT,
          code_verifier: verifier,
        };
        const { status, body } = await post(`${issuer}/token`, form, client);
        if (status !== 200) throw new Error(`no tokens: ${status} ${JSON.stringify(body)}`);
        return body as unknown as Tokens;
      },
    };
  };
  return {
    begin,
    signIn: async () => (await begin()).finish(),
    refresh: (token, url = issuer) =>
      post(`${url}/token`, { grant_type: 'refresh_token', refresh_token: token }, client),
    introspect: async (token, url = issuer) =>
      (await post(`${url}/introspect`, { token }, client)).body['active'] === true,
    introspection: (token) => post(`${issuer}/introspect`, { token }, client),
    revoke: (token) => post(`${issuer}/revoke`, { token }, client),
    own: (url = issuer) => post(`${url}/token`, { grant_type: 'client_credentials' }, client),
  };
}
