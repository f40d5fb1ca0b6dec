/** Values that are good at the moment, so that requests come further than the door. */
import { ORDERS, PHONES, PASSWORD, type World } from '../../support/fixtures.ts';
import { basicAuth } from '../../support/server.ts';
import { newSigner } from '../../race/support/proofs.ts';
import { authorizationQuery } from '../../http/support/authorization.ts';
import type { Known } from './requests.ts';

const csrfIn = (html: string): string => /name="csrf" value="([^"]+)"/.exec(html)?.[1] ?? '';

/** @param part a number: what is made for one part is not met in another */
export async function knownOf(world: World, part: number): Promise<Known> {
  const username = `fuzz-${part}`;
  const userId = await world.user(username, { email: `${username}@example.com`, email_verified: true });
  const victim = await world.client({
    client_id: `victim-${part}`,
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    redirect_uris: ['https://victim.example/cb'],
    scope: 'openid orders:read',
  });
  const victimUser = await world.user(`victim-${part}`);
  const api = `https://victim-${part}.example/api`;
  const { web, spa, machine, gateway } = world;
  const signedIn = await world.tokens(web, { username });
  const { browser } = signedIn;
  const [second, opaque, open] = [
    await world.tokens(spa, { browser, username }),
    await world.tokens(web, { browser, username, params: { scope: 'openid phones:read', resource: PHONES } }),
    await world.authorize(web, { browser, username }),
  ];
  const stranger = world.browser();
  const asked = await stranger.go(`${world.url}/authorize?${authorizationQuery(web)}`);
  const strangerHere = await stranger.go(`${world.url}/account`);
  const account = await browser.go(`${world.url}/account/profile`);
  const device = await world.post<{ device_code?: string; user_code?: string }>(
    '/device_authorization',
    { scope: 'openid' },
    web,
  );
  const pushed = await world.post<{ request_uri?: string }>(
    '/par',
    Object.fromEntries(new URLSearchParams(authorizationQuery(web))),
    web,
  );
  const signer = await newSigner();
  const cookie = (cookies: Record<string, string>): string =>
    Object.entries(cookies)
      .map(([name, value]) => `${name}=${value}`)
      .join('; ');
  const own = { Bearer: `Bearer ${await world.adminToken()}` };
  await fetch(`${world.url}/admin/v1/apis`, {
    method: 'POST',
    headers: { authorization: own.Bearer, 'content-type': 'application/json' },
    body: JSON.stringify({ identifier: api, name: 'An API' }),
  });
  const list = async (path: string): Promise<string[]> => {
    const response = await fetch(`${world.url}/admin/v1${path}`, { headers: { authorization: own.Bearer } });
    const { data } = (await response.json()) as { data: { id?: string; kid?: string }[] };
    return data.map(({ id, kid }) => id ?? kid ?? '');
  };
  const interaction = /\/interaction\/([\w-]+)/.exec(asked.url)?.[1] ?? '';
  const tokens = [signedIn, second, opaque];
  const clients = [web, spa, machine, gateway, victim];
  const access = tokens.map((each) => each.access_token);
  const refresh = tokens.flatMap((each) => each.refresh_token ?? []);
  const idTokens = tokens.flatMap((each) => each.id_token ?? []);
  const scopes = ['openid', 'openid orders:read', 'orders:read', 'openid offline_access email'];
  return {
    // What lets in.
    'as client': clients.flatMap(({ id, secret }) => (secret === undefined ? [] : basicAuth(id, secret))),
    'as admin': [own.Bearer],
    'as user': access.flatMap((token) => [`Bearer ${token}`, `DPoP ${token}`]),
    cookie: [cookie(browser.cookies), cookie(stranger.cookies)],
    dpop: [
      await signer.proof(`${world.url}/token`),
      await signer.proof(`${world.url}/par`),
      await signer.proof(`${world.url}/userinfo`, { htm: 'GET' }),
      await signer.proof(`${world.url}/token`, { iat: 1e300, jti: '\u0000' }),
      await signer.proof(`${world.url}/token`, { htu: 'x', nonce: 'x' }),
    ],
    // What OAuth knows.
    client_id: clients.map(({ id }) => id),
    client_secret: [web.secret ?? ''],
    client_assertion: [await signer.assertion('web', world.url), await signer.assertion('\u0000', world.url)],
    client_assertion_type: ['urn:ietf:params:oauth:client-assertion-type:jwt-bearer'],
    redirect_uri: [web.redirect, spa.redirect],
    response_type: ['code'],
    response_mode: ['query', 'form_post', 'fragment', 'jwt'],
    grant_type: [
      'authorization_code',
      'refresh_token',
      'client_credentials',
      'urn:ietf:params:oauth:grant-type:device_code',
    ],
    scope: scopes,
    prompt: ['none', 'login', 'consent', 'select_account', 'create'],
    max_age: ['0', '600'],
    claims: ['{"id_token":{"acr":{"essential":true}}}', '{"userinfo":{"email":null}}'],
    resource: [ORDERS, PHONES],
    ui_locales: ['de', 'en', 'fr de'],
    acr_values: ['urn:portcullis:acr:mfa', '0'],
    id_token_hint: idTokens,
    request: ['eyJhbGciOiJub25lIn0.e30.'],
    request_uri: [pushed.body.request_uri ?? '', 'https://a.example/r'],
    code_challenge: ['E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'],
    code_challenge_method: ['S256', 'plain'],
    dpop_jkt: ['0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I'],
    code: [open.code, signedIn.code],
    code_verifier: [open.verifier, signedIn.verifier],
    refresh_token: refresh,
    token: [...access, ...refresh, ...idTokens, open.code],
    access_token: access,
    token_type_hint: ['access_token', 'refresh_token'],
    device_code: [device.body.device_code ?? ''],
    user_code: [device.body.user_code ?? ''],
    post_logout_redirect_uri: ['https://shop.example/out'],
    // What pages know.
    interaction: [interaction],
    csrf: [csrfIn(account.text), csrfIn(asked.text), csrfIn(strangerHere.text)].filter(Boolean),
    decision: ['allow', 'deny', 'logout', 'stay'],
    username: [username],
    password: ['wrong', PASSWORD],
    current_password: ['wrong'],
    email: [`${username}@example.com`, 'new@example.com'],
    // What the admin API knows.
    user_id: [userId, '1'],
    user: [userId],
    identifier: [api],
    victim: [victim.id],
    victim_user: [victimUser],
    ...(await ids(list)),
    redirect_uris: ['https://new.example/cb'],
    url: ['https://hooks.invalid/'],
    events: ['key.retired'],
    expires_at: ['2099-01-01T00:00:00Z'],
    expire_old: ['now', '1h'],
    limit: ['1', '200'],
    since: ['2020-01-01T00:00:00Z'],
    alg: ['ES256'],
    access_token_format: ['jwt', 'opaque'],
  };
}

async function ids(list: (path: string) => Promise<string[]>): Promise<Known> {
  return {
    secret_id: await list('/clients/web/secrets'),
    grant_id: (await list('/grants')).slice(0, 2),
    session_id: (await list('/sessions')).slice(0, 2),
    kid: await list('/keys'),
    webhook_id: await list('/webhooks'),
  };
}
