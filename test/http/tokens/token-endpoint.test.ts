import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { ORDERS, startWorld, type TestClient, type Tokens, type World } from '../../support/fixtures.ts';
import { pass, stopTime } from '../support/time.ts';

describe.each(databaseKinds)('the token endpoint on %s', (kind) => {
  let world: World;
  let codeOnly: TestClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    codeOnly = await world.client({
      client_id: 'code-only',
      first_party: true,
      redirect_uris: ['https://code.example/cb'],
      scope: 'openid orders:read',
    });
    stopTime();
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });

  const redeem = (client: TestClient, code: string, verifier: string, more: Record<string, string> = {}) =>
    world.post<Tokens & { error?: string }>(
      '/token',
      {
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: client.redirect,
        ...more,
      },
      client,
    );

  it('is never cached', async () => {
    const { code, verifier } = await world.authorize(world.web);
    const answer = await redeem(world.web, code, verifier);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(answer.body.token_type).toBe('Bearer');
    const refused = await redeem(world.web, 'nonsense', verifier);
    expect(refused.headers.get('cache-control')).toBe('no-store');
  });

  it('refuses a code that is unknown, another client’s or expired', async () => {
    const first = await world.authorize(world.web);
    expect(await redeem(world.web, 'unknown', first.verifier)).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    });
    expect(await redeem(world.spa, first.code, first.verifier)).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    });
    pass(61);
    expect(await redeem(world.web, first.code, first.verifier)).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    });
  });

  it('gives no refresh token to a client without that grant', async () => {
    const tokens = await world.tokens(codeOnly);
    expect(tokens.refresh_token).toBeUndefined();
    expect(tokens.refresh_token_expires_in).toBeUndefined();
  });

  it('says how long the refresh token may rest, and never past the family’s end', async () => {
    const brief = await world.client({
      client_id: 'brief',
      first_party: true,
      redirect_uris: ['https://brief.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      refresh_token_idle_ttl: 100,
      refresh_token_max_ttl: 250,
      scope: 'openid orders:read',
    });
    const first = await world.tokens(brief);
    expect(first.refresh_token_expires_in).toBe(100);
    pass(90);
    const second = await world.refresh(brief, first.refresh_token ?? '');
    expect(second.body.refresh_token_expires_in).toBe(100);
    pass(90);
    const third = await world.refresh(brief, second.body.refresh_token ?? '');
    expect(third.body.refresh_token_expires_in).toBe(70);
    pass(71);
    expect(await world.refresh(brief, third.body.refresh_token ?? '')).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    });
  });

  it('says when the refresh token ends, to the second that it ends in', async () => {
    const exact = await world.client({
      client_id: 'exact',
      first_party: true,
      redirect_uris: ['https://exact.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      refresh_token_max_ttl: 250,
      scope: 'openid orders:read',
    });
    const first = await world.tokens(exact);
    const { exp: end } = await world.introspect(first.refresh_token ?? '', exact);
    pass(90.7);
    const { body } = await world.refresh(exact, first.refresh_token ?? '');
    expect(body.refresh_token_expires_in).toBe(160); // seconds are whole ones: 250 − 90
    expect(await world.introspect(body.refresh_token ?? '', exact)).toMatchObject({ active: true, exp: end });
    pass(159.2); // 249.9 s
    expect(await world.introspect(body.refresh_token ?? '', exact)).toMatchObject({ active: true });
    pass(0.1);
    expect(await world.introspect(body.refresh_token ?? '', exact)).toEqual({ active: false });
  });

  it('issues a new ID token on refresh, about the same sign-in', async () => {
    const tokens = await world.tokens(world.web, { params: { nonce: 'n-1' } });
    pass(20);
    const refreshed = await world.refresh(world.web, tokens.refresh_token ?? '');
    const [before, after] = [decodeJwt(tokens.id_token ?? ''), decodeJwt(refreshed.body.id_token ?? '')];
    expect(before['nonce']).toBe('n-1');
    for (const claim of ['iss', 'sub', 'aud', 'auth_time', 'acr', 'sid'])
      expect(after[claim]).toEqual(before[claim]);
    expect(Number(after.iat) - Number(before.iat)).toBe(20);
    expect(decodeJwt(refreshed.body.access_token)['auth_time']).toBe(before['auth_time']);
  });

  it('takes a refresh token from its own client only, and another client’s try changes nothing', async () => {
    const tokens = await world.tokens(world.web);
    expect(await world.refresh(world.spa, tokens.refresh_token ?? '')).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    });
    expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(200);
  });

  it.each(['', 'pcr_', 'pcr_AAAA', 'nonsense', `pcr_${'A'.repeat(86)}`, 'a.b.c', 'x'.repeat(10_000)])(
    'refuses a refresh token that was never made: %.20s',
    async (token) => {
      const answer = await world.refresh(world.web, token);
      expect(answer.status).toBe(400);
      expect((answer.body as { error?: string }).error).toBe(
        token === '' ? 'invalid_request' : 'invalid_grant',
      );
    },
  );

  it('refuses a grant type that the client may not use as unauthorized_client', async () => {
    const tokens = await world.tokens(world.web);
    for (const [client, form] of [
      [world.web, { grant_type: 'client_credentials' }],
      [world.spa, { grant_type: 'client_credentials' }],
      [codeOnly, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token ?? '' }],
      [world.machine, { grant_type: 'authorization_code', code: 'x', redirect_uri: 'https://x.example/' }],
    ] as const) {
      expect(await world.post('/token', form, client)).toMatchObject({
        status: 400,
        body: { error: 'unauthorized_client' },
      });
    }
  });

  it.each([
    'password',
    'implicit',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
    'nonsense',
    '__proto__',
    'toString',
  ])('knows no grant type %s', async (grantType) => {
    const form = { grant_type: grantType, username: 'alice', password: 'lantern-orbit-velvet-7' };
    expect(await world.post('/token', form, world.web)).toMatchObject({
      status: 400,
      body: { error: 'unsupported_grant_type' },
    });
  });

  it('wants a grant type', async () => {
    expect(await world.post('/token', { code: 'x' }, world.web)).toMatchObject({
      status: 400,
      body: { error: 'invalid_request' },
    });
  });

  describe('client_credentials', () => {
    const ask = (form: Record<string, string>, client = world.machine) =>
      world.post<{ access_token: string; scope?: string; error?: string }>(
        '/token',
        { grant_type: 'client_credentials', ...form },
        client,
      );

    it('gives what the client is registered for at the API, where no scope is named', async () => {
      const answer = await ask({ resource: ORDERS });
      expect(answer.body.scope).toBe('orders:read');
      const claims = decodeJwt(answer.body.access_token);
      expect(claims).toMatchObject({
        aud: ORDERS,
        scope: 'orders:read',
        sub: 'machine',
        client_id: 'machine',
      });
      for (const claim of ['auth_time', 'acr', 'amr', 'sid']) expect(claims).not.toHaveProperty(claim);
      expect(answer.body).not.toHaveProperty('refresh_token');
      expect(answer.body).not.toHaveProperty('id_token');
    });

    it('goes to the default API where neither scope nor resource is named', async () => {
      expect(decodeJwt((await ask({})).body.access_token).aud).toBe(`${world.url}/api`);
    });

    it('gives opaque tokens for an API that says so', async () => {
      const { body } = await ask({ scope: 'phones:read' });
      expect(body.access_token).toMatch(/^pca_/);
      expect(await world.introspect(body.access_token)).toMatchObject({ active: true, client_id: 'machine' });
    });

    it.each([
      ['an OIDC scope', { scope: 'openid' }, 'invalid_scope'],
      ['an OIDC scope beside a good one', { scope: 'orders:read profile' }, 'invalid_scope'],
      ['offline_access', { scope: 'offline_access' }, 'invalid_scope'],
      ['a scope that it is not registered for', { scope: 'orders:write' }, 'invalid_scope'],
      ['an unknown scope', { scope: 'nothing:known' }, 'invalid_scope'],
      ['a scope of the admin API', { scope: 'clients:write' }, 'invalid_scope'],
      ['scopes of two APIs', { scope: 'orders:read phones:read' }, 'invalid_target'],
      ['an unknown resource', { resource: 'https://nobody.example/' }, 'invalid_target'],
      ['forbidden characters', { scope: 'orders:read "' }, 'invalid_scope'],
    ])('refuses %s', async (_name, form, error) => {
      expect(await ask(form)).toMatchObject({ status: 400, body: { error } });
    });

    it('refuses two resources', async () => {
      const body = new URLSearchParams({ grant_type: 'client_credentials', resource: ORDERS });
      body.append('resource', `${world.url}/api`);
      const response = await fetch(`${world.url}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`machine:${world.machine.secret ?? ''}`)}` },
        body,
      });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: 'invalid_target' });
    });
  });
});
