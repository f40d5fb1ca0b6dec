import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { ORDERS, PHONES, startWorld, type World } from '../../support/fixtures.ts';

describe.each(databaseKinds)('authorization code flow on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
  });
  afterAll(() => world.close());

  it('issues an access token that an API verifies offline', async () => {
    const tokens = await world.tokens(world.web);
    const keys = createRemoteJWKSet(new URL(`${world.url}/jwks`));
    const { payload } = await jwtVerify(tokens.access_token, keys, {
      issuer: world.url,
      audience: ORDERS,
      typ: 'at+jwt',
    });
    expect(decodeProtectedHeader(tokens.access_token)).toMatchObject({ alg: 'ES256', typ: 'at+jwt' });
    expect(payload).toMatchObject({
      sub: world.userId,
      client_id: 'web',
      scope: 'openid orders:read',
      acr: expect.any(String),
      amr: ['pwd'],
      auth_time: expect.any(Number),
      jti: expect.any(String),
    });
    expect(tokens.expires_in).toBe(600);
    expect(tokens.refresh_token).toMatch(/^pcr_/);
    expect(tokens.refresh_token_expires_in).toBe(14 * 86_400);
    expect(tokens.result.get('iss')).toBe(world.url);
    expect(tokens.result.get('state')).toBe('st ate');
  });

  it('signs ID tokens by RS256 and leaves scope claims to /userinfo', async () => {
    const tokens = await world.tokens(world.web, { params: { scope: 'openid profile email phone address' } });
    expect(decodeProtectedHeader(tokens.id_token ?? '').alg).toBe('RS256');
    expect(decodeJwt(tokens.id_token ?? '')).not.toHaveProperty('email');
    const { status, body } = await world.userinfo(tokens.access_token);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      sub: world.userId,
      name: 'Alice Adams',
      given_name: 'Alice',
      email: 'alice@example.com',
      email_verified: true,
      phone_number: '+4930123456',
      address: { locality: 'Berlin' },
    });
  });

  it('works for a public client, and for an API with opaque tokens', async () => {
    const tokens = await world.tokens(world.spa, { params: { scope: 'openid phones:read' } });
    expect(tokens.access_token).toMatch(/^pca_/);
    expect(await world.introspect(tokens.access_token)).toMatchObject({ active: true, aud: PHONES });
    expect((await world.userinfo(tokens.access_token)).body).toEqual({ sub: world.userId });
  });

  it('refreshes, and kills the family when a spent token comes back', async () => {
    const tokens = await world.tokens(world.web);
    const second = await world.refresh(world.web, tokens.refresh_token ?? '');
    expect(second.status).toBe(200);
    expect(second.body.refresh_token).not.toBe(tokens.refresh_token);
    expect(await world.introspect(tokens.access_token)).toMatchObject({ active: true });
    const third = await world.refresh(world.web, second.body.refresh_token ?? '');
    expect(third.status).toBe(200);
    const replay = await world.refresh(world.web, tokens.refresh_token ?? '');
    expect(replay.status).toBe(400);
    expect(replay.body).toMatchObject({ error: 'invalid_grant' });
    expect((await world.refresh(world.web, third.body.refresh_token ?? '')).status).toBe(400);
    for (const { access_token: token } of [tokens, second.body, third.body]) {
      expect(await world.introspect(token)).toEqual({ active: false });
      expect((await world.userinfo(token)).status).toBe(401);
    }
  });

  it('revokes one access token and leaves the rest', async () => {
    const tokens = await world.tokens(world.web);
    const other = await world.refresh(world.web, tokens.refresh_token ?? '');
    const answer = await world.post('/revoke', { token: tokens.access_token }, world.web);
    expect(answer).toMatchObject({ status: 200, body: {} });
    expect(await world.introspect(tokens.access_token)).toEqual({ active: false });
    expect(await world.introspect(other.body.access_token)).toMatchObject({ active: true });
    expect((await world.refresh(world.web, other.body.refresh_token ?? '')).status).toBe(200);
  });

  it('ends the family when its refresh token is revoked', async () => {
    const tokens = await world.tokens(world.web);
    expect((await world.post('/revoke', { token: tokens.refresh_token ?? '' }, world.web)).status).toBe(200);
    expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(400);
    expect(await world.introspect(tokens.access_token)).toEqual({ active: false });
  });

  it('ends the family when a code is used twice', async () => {
    const tokens = await world.tokens(world.web);
    const again = await world.post(
      '/token',
      {
        grant_type: 'authorization_code',
        code: tokens.code,
        redirect_uri: world.web.redirect,
        code_verifier: tokens.verifier,
      },
      world.web,
    );
    expect(again).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect(await world.introspect(tokens.access_token)).toEqual({ active: false });
    expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(400);
  });

  it('issues client_credentials tokens without a row, and takes them back', async () => {
    const answer = await world.post<{ access_token: string; scope: string }>(
      '/token',
      { grant_type: 'client_credentials', scope: 'orders:read' },
      world.machine,
    );
    expect(answer.status).toBe(200);
    expect(await world.introspect(answer.body.access_token)).toMatchObject({
      active: true,
      aud: ORDERS,
      client_id: 'machine',
    });
    await world.post('/revoke', { token: answer.body.access_token }, world.machine);
    expect(await world.introspect(answer.body.access_token)).toEqual({ active: false });
  });
});
