/** A stolen database, alone or with the log: nothing in it can be used, whatever encoding it is read in. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fingerprint, open } from '../../src/lib/crypto.ts';
import { sealContext } from '../../src/storage/sealed-columns.ts';
import { newSigner } from '../race/support/proofs.ts';
import type { Browser } from '../support/browser.ts';
import { databaseKinds } from '../support/databases.ts';
import { PASSWORD, startWorld, type TestClient, type Tokens, type World } from '../support/fixtures.ts';
import { basicAuth } from '../support/server.ts';
import { bytesOf, dumpOf, filesOf, type Dump } from './support/dump.ts';
import { keepFields, people } from './support/people.ts';
import { foundIn, needlesOf, type Secret } from './support/search.ts';

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

describe('the search', () => {
  const secret = 'pcs_u5n1cVX0aFk3vQ9mB7cJ2hLr8tYw6zEo4iPdSgKxNqA';
  const bytes = Buffer.from(secret.slice(4), 'base64url');
  it.each<[string, Buffer]>([
    ['as it is', Buffer.from(secret)],
    ['without its prefix', Buffer.from(secret.slice(4))],
    ['in part', Buffer.from(secret.slice(-24))],
    ['as bytes', bytes],
    ['in base64', Buffer.from(bytes.toString('base64'))],
    ['in hex', Buffer.from(bytes.toString('hex'))],
    ['its text in base64', Buffer.from(Buffer.from(secret).toString('base64'))],
    ['its text in hex', Buffer.from(Buffer.from(secret).toString('hex'))],
    ['inside something else in base64', Buffer.from(Buffer.from(`{"a":"${secret}"}`).toString('base64'))],
  ])('finds a secret %s', (_, form) => {
    const heap = Buffer.concat([Buffer.from([0, 255, 7]), form, Buffer.from('…')]);
    expect(foundIn(heap, [{ name: 'it', value: secret }])).toEqual(['it']);
    expect(foundIn(Buffer.from('nothing of the sort'), [{ name: 'it', value: secret }])).toEqual([]);
    expect(needlesOf(secret).size).toBeGreaterThan(8);
  });
});

describe.each(databaseKinds)('at rest on %s', (kind) => {
  let world: World;
  let dump: Dump;
  const secrets: Secret[] = [];
  const keep = (name: string, value: string | Buffer | null | undefined): string => {
    if (value === undefined || value === null || value.length === 0) throw new Error(`no ${name}`);
    secrets.push({ name, value });
    return String(value);
  };

  /** Tokens of any grant; returns the refresh token. */
  const keepTokens = (of: string, tokens: Partial<Tokens>): string => {
    keep(`access token of ${of}`, tokens.access_token);
    if (tokens.access_token?.includes('.')) {
      keep(`signature of the access token of ${of}`, tokens.access_token.split('.')[2]);
    }
    if (tokens.id_token) keep(`ID token of ${of}`, tokens.id_token);
    if (tokens.refresh_token === undefined) return '';
    const bytes = Buffer.from(tokens.refresh_token.slice(4), 'base64url');
    // Its first 16 bytes name the family, which is no secret.
    keep(`random part of the refresh token of ${of}`, bytes.subarray(16, 48));
    keep(`tag of the refresh token of ${of}`, bytes.subarray(48));
    return keep(`refresh token of ${of}`, tokens.refresh_token);
  };
  const keepCookies = (browser: Browser, of: string): void => {
    for (const [name, value] of Object.entries(browser.cookies)) keep(`cookie ${name} of ${of}`, value);
  };

  async function codeFlow(of: string, client: TestClient, scope: string): Promise<void> {
    const browser = world.browser();
    const seen: string[] = [];
    const request = browser.request.bind(browser);
    browser.request = async (url, init) => {
      const answer = await request(url, init);
      const uid = /\/interaction\/([\w-]+)/.exec(answer.url)?.[1];
      if (uid !== undefined && !seen.includes(uid)) seen.push(uid);
      keepCookies(browser, `${of}, on the way`);
      keepFields(answer, of, keep);
      return answer;
    };
    const tokens = await world.tokens(client, { browser, params: { scope, nonce: 'nonce-of-this-run' } });
    for (const uid of seen) keep(`interaction of ${of}`, uid);
    expect(seen.length).toBeGreaterThan(0);
    keepCookies(browser, of);
    keep(`code of ${of}`, tokens.code);
    keep(`verifier of ${of}`, tokens.verifier);
    let refresh = keepTokens(of, tokens);
    for (let n = 0; n < 3; n++) {
      const { status, body } = await world.refresh(client, refresh);
      expect(status).toBe(200);
      refresh = keepTokens(`${of}, refresh ${n}`, body);
    }
    await world.introspect(tokens.access_token);
    await world.userinfo(tokens.access_token);
    await world.post('/revoke', { token: tokens.access_token }, client);
    expect((await world.refresh(client, keep('spent token', tokens.refresh_token))).status).toBe(400);
  }

  async function pushed(client: TestClient): Promise<void> {
    const { body } = await world.post<{ request_uri: string }>(
      '/par',
      {
        client_id: client.id,
        redirect_uri: client.redirect,
        response_type: 'code',
        scope: 'openid orders:read',
        code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
        code_challenge_method: 'S256',
      },
      client,
    );
    keep('pushed request', body.request_uri.split(':').at(-1));
  }

  async function machines(): Promise<void> {
    for (const scope of ['orders:read', 'phones:read']) {
      const form = { grant_type: 'client_credentials', scope };
      const { body } = await world.post<Tokens>('/token', form, world.machine);
      keepTokens(`a client itself, ${scope}`, body);
    }
    const signer = await newSigner();
    const asserting = await world.client({
      client_id: 'asserting',
      redirect_uris: [],
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [signer.jwk] },
      scope: 'orders:read',
    });
    const jti = keep('id of an assertion', 'assertion-id-of-this-run');
    const assertion = keep('assertion', await signer.assertion(asserting.id, world.url, { jti }));
    const proofId = keep('id of a proof', 'proof-id-of-this-run');
    const dpop = keep('proof', await signer.proof(`${world.url}/token`, { jti: proofId }));
    const { body, status } = await world.post<Tokens>(
      '/token',
      { grant_type: 'client_credentials', client_assertion_type: ASSERTION, client_assertion: assertion },
      undefined,
      { dpop },
    );
    expect(status).toBe(200);
    keepTokens('a client with a key', body);
  }

  async function device(): Promise<void> {
    const tv = await world.client({
      client_id: 'tv',
      token_endpoint_auth_method: 'none',
      grant_types: [DEVICE, 'refresh_token'],
      redirect_uris: [],
      scope: 'openid orders:read',
    });
    const { body } = await world.post<Record<string, string>>(
      '/device_authorization',
      { scope: 'openid orders:read' },
      tv,
    );
    const code = keep('device code', body['device_code']);
    keep('user code', body['user_code']);
    keep('user code without its dash', body['user_code']?.replaceAll('-', ''));
    const browser = world.browser();
    let page = await browser.go(body['verification_uri_complete'] ?? '');
    if (page.page === 'login') {
      page = await browser.submit(page, { username: 'alice', password: PASSWORD }, '/account/login');
    }
    page = await browser.submit(page, { user_code: body['user_code'] ?? '' }, '/device');
    await browser.submit(page, { decision: 'allow' }, '/device');
    keepCookies(browser, 'a device’s person');
    const tokens = await world.post<Tokens>('/token', { grant_type: DEVICE, device_code: code }, tv);
    expect(tokens.status).toBe(200);
    keepTokens('a device', tokens.body);
    const waiting = await world.post<Record<string, string>>(
      '/device_authorization',
      { scope: 'openid' },
      tv,
    );
    keep('device code that waits', waiting.body['device_code']);
    keep('user code that waits', waiting.body['user_code']);
    keep('user code that waits, without its dash', waiting.body['user_code']?.replaceAll('-', ''));
  }

  async function administration(): Promise<void> {
    const bearer = keep('admin token', await world.adminToken());
    const call = async (path: string, document: object, method = 'POST') => {
      const response = await fetch(`${world.url}/admin/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
        body: JSON.stringify(document),
      });
      expect(response.ok, path).toBe(true);
      return (await response.json()) as { id: string; client_secret?: string; secret?: string };
    };
    keep('added secret', (await call('/clients/web/secrets', { name: 'second' })).client_secret);
    keep('rotated secret', (await call('/clients/web/secrets/rotate', {})).client_secret);
    const password = keep('password of a made user', 'harbour-velvet-lantern-19');
    const { id } = await call('/users', { username: 'bob', password });
    const next = keep('changed password', 'granite-meadow-quiver-52');
    const changed = await fetch(`${world.url}/admin/v1/users/${id}/password`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      body: JSON.stringify({ password: next }),
    });
    expect(changed.ok).toBe(true);
    const hook = await call('/webhooks', {
      url: 'https://hooks.example/in',
      events: ['token.reuse_detected'],
    });
    keep('secret of a webhook', hook.secret?.replace(/^whsec_/, ''));
  }

  /** What goes wrong must not say more. */
  async function mistakes(): Promise<void> {
    const browser = world.browser();
    const query = new URLSearchParams({
      client_id: world.web.id,
      redirect_uri: world.web.redirect,
      response_type: 'code',
      scope: 'openid',
      state: keep('state', 'state-of-this-very-run'),
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
    });
    const page = await browser.go(`${world.url}/authorize?${query.toString()}`);
    const wrong = keep('mistyped password', 'lantern-orbit-velvet-8');
    const typed = keep('password typed as a name', 'harvest-copper-ribbon-3');
    const again = await browser.submit(page, { username: 'alice', password: wrong }, '/login');
    await browser.submit(again, { username: typed, password: wrong }, '/login');
    keepCookies(browser, 'a failed sign-in');
    const secret = keep('wrong client secret', 'pcs_d3JvbmctY2xpZW50LXNlY3JldC1vZi10aGlzLXJ1bg');
    const unknown = keep('unknown token', 'pcr_dW5rbm93bi10b2tlbi1vZi10aGlzLXJ1bi1hYmNkZWZn');
    await world.post('/token', { grant_type: 'refresh_token', refresh_token: unknown }, world.web);
    await world.post('/introspect', { token: unknown }, { ...world.gateway, secret });
    const initial = keep(
      'initial access token of a registration',
      'aW5pdGlhbC1hY2Nlc3MtdG9rZW4tb2YtdGhpcy1ydW4',
    );
    const registered = await fetch(`${world.url}/register`, {
      method: 'POST',
      headers: { authorization: `Bearer ${initial}`, 'content-type': 'application/json' },
      body: '{}',
    });
    expect(registered.status).toBe(401);
    await world.post('/token', { grant_type: 'authorization_code', code: unknown }, world.web);
    await fetch(`${world.url}/userinfo`, { headers: { authorization: `Bearer ${unknown}` } });
    const unknownUri = `urn:ietf:params:oauth:request_uri:${unknown}`;
    await browser.request(`${world.url}/authorize?request_uri=${unknownUri}&client_id=web`);
  }

  beforeAll(async () => {
    world = await startWorld({ kind, host: 'localhost', env: { PORTCULLIS_REGISTRATION: 'open' } });
    keep('password', PASSWORD);
    keep('bootstrap secret', world.admin.secret);
    for (const client of [world.web, world.machine, world.gateway])
      keep(`secret of ${client.id}`, client.secret);
    await codeFlow('a web app', world.web, 'openid profile orders:read');
    await codeFlow('a web app with opaque tokens', world.web, 'openid phones:read');
    await codeFlow('a page', world.spa, 'openid orders:read');
    await pushed(world.web);
    await machines();
    await device();
    await administration();
    await people(world, keep);
    await mistakes();
    // One that is in the middle of things, so that interactions and codes are still there.
    const waiting = world.browser();
    await waiting.go(
      `${world.url}/authorize?${new URLSearchParams({
        client_id: world.web.id,
        redirect_uri: world.web.redirect,
        response_type: 'code',
        scope: 'openid',
        code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
        code_challenge_method: 'S256',
      }).toString()}`,
    );
    keepCookies(waiting, 'a browser on its way');
    const open = await world.authorize(world.spa);
    keep('code that waits', open.code);

    const { database, dataKeys } = world.app.domain.storage;
    dump = await dumpOf(database);
    for (const key of world.secretKeys.split(',')) keep('secret key', Buffer.from(key, 'base64url'));
    const secretKeys = new Map(
      world.secretKeys.split(',').map((key) => {
        const bytes = Buffer.from(key, 'base64url');
        return [fingerprint(bytes), bytes] as const;
      }),
    );
    for (const row of dump.get('data_keys') ?? []) {
      const { id, purpose, wrapped } = row as { id: string; purpose: string; wrapped: Uint8Array };
      const key = open_(secretKeys, wrapped, `data-key:${id}:${purpose}`);
      expect(key).toHaveLength(32);
      keep(`${purpose} key`, key);
    }
    for (const row of dump.get('signing_keys') ?? []) {
      const { kid, sealed } = row as { kid: string; sealed: Uint8Array };
      const jwk = JSON.parse((await dataKeys.open(sealed, sealContext.signingKey(kid))).toString()) as Record<
        string,
        string
      >;
      const parts = ['d', 'p', 'q', 'dp', 'dq', 'qi'].filter((name) => jwk[name] !== undefined);
      expect(parts).toContain('d');
      for (const name of parts) keep(`${name} of signing key ${kid}`, jwk[name]);
    }
  }, 120_000);
  afterAll(() => world?.close());

  const open_ = (keys: ReadonlyMap<string, Buffer>, sealed: Uint8Array, context: string): Buffer =>
    open((id) => keys.get(id), sealed, context);

  it('the run has used what it should have', () => {
    expect(secrets.length).toBeGreaterThan(100);
    const used =
      'families artifacts sessions denied_tokens audit_events consents ' +
      'totp_secrets passkeys recovery_codes webhooks throttles';
    for (const table of used.split(' ')) {
      expect(dump.get(table)?.length, table).toBeGreaterThan(0);
    }
  });

  it('no table holds a token, code, secret, password, session id or key', () => {
    for (const [table, rows] of dump) {
      expect(foundIn(bytesOf(new Map([[table, rows]])), secrets), table).toEqual([]);
    }
  });

  it.runIf(kind === 'sqlite')('no file does, not even where rows were deleted', () => {
    const bytes = filesOf(world.databaseUrl);
    expect(bytes.length).toBeGreaterThan(100_000);
    expect(bytes.includes('https://shop.example/cb')).toBe(true);
    expect(foundIn(bytes, secrets)).toEqual([]);
  });

  it('no line of the log does', () => {
    const lines = world.log.join('\n');
    expect(lines).toContain('token.reuse_detected');
    expect(foundIn(Buffer.from(lines), secrets)).toEqual([]);
  });

  it('nothing in it, or in the log, works against the running server', async () => {
    const words = new Set<string>();
    for (const rows of dump.values()) {
      for (const value of rows.flatMap((row) => Object.values(row))) {
        if (value instanceof Uint8Array) {
          if (value.length > 0 && value.length <= 64) {
            for (const encoding of ['base64url', 'hex'] as const)
              words.add(Buffer.from(value).toString(encoding));
          }
        } else for (const word of String(value).match(/[\w-]{16,100}/g) ?? []) words.add(word);
      }
    }
    for (const line of world.log) for (const word of line.match(/[\w-]{16,100}/g) ?? []) words.add(word);
    expect(words.size).toBeGreaterThan(100);
    const tried = [...words].slice(0, 400);
    for (const word of tried) {
      expect(await world.introspect(word)).toEqual({ active: false });
    }
    for (const word of tried.slice(0, 100)) {
      const [refresh, code, secret, session] = await Promise.all([
        world.refresh(world.spa, word),
        world.post(
          '/token',
          {
            grant_type: 'authorization_code',
            code: word,
            redirect_uri: world.spa.redirect,
            code_verifier: 'x'.repeat(43),
          },
          world.spa,
        ),
        fetch(`${world.url}/token`, {
          method: 'POST',
          headers: { authorization: basicAuth('machine', word) },
          body: new URLSearchParams({ grant_type: 'client_credentials' }),
        }),
        fetch(`${world.url}/account`, {
          redirect: 'manual',
          headers: {
            accept: 'text/html',
            cookie: `portcullis_session=${word}; portcullis_session.sig=${word}`,
          },
        }),
      ]);
      expect([refresh.status, code.status, secret.status]).toEqual([400, 400, 401]);
      expect(await session.text()).not.toContain('alice');
    }
  });
});
