import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type TestClient, type World } from '../../support/fixtures.ts';

describe.each(databaseKinds)('/userinfo on %s', (kind) => {
  let world: World;
  let own: TestClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    await world.user('bare');
    own = await world.client({
      client_id: 'own',
      first_party: true,
      redirect_uris: ['https://own.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid profile email address phone orders:read phones:read',
    });
  });
  afterAll(() => world.close());

  const tokenFor = async (scope: string, username = 'alice'): Promise<string> =>
    (await world.tokens(own, { username, params: { scope } })).access_token;

  it.each([
    ['openid', {}],
    [
      'openid profile',
      {
        name: 'Alice Adams',
        given_name: 'Alice',
        preferred_username: 'alice',
        updated_at: expect.any(Number),
      },
    ],
    ['openid email', { email: 'alice@example.com', email_verified: true }],
    ['openid phone', { phone_number: '+4930123456', phone_number_verified: true }],
    ['openid address', { address: { street_address: 'Main Street 1', locality: 'Berlin' } }],
    ['openid orders:read', {}],
    ['openid phones:read email', { email: 'alice@example.com', email_verified: true }],
  ])('releases for %s what OIDC Core 5.4 says, and nothing else', async (scope, claims) => {
    const { status, body, headers } = await world.userinfo(await tokenFor(scope));
    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(body).toEqual({ sub: world.userId, ...claims });
  });

  it('leaves out what the user does not have, instead of null', async () => {
    const { body } = await world.userinfo(await tokenFor('openid profile email address phone', 'bare'));
    expect(body).toEqual({
      sub: expect.any(String),
      preferred_username: 'bare',
      updated_at: expect.any(Number),
    });
  });

  it('takes the token by POST, in the header or in the form', async () => {
    const token = await tokenFor('openid');
    const url = `${world.url}/userinfo`;
    const byForm = await fetch(url, { method: 'POST', body: new URLSearchParams({ access_token: token }) });
    expect(await byForm.json()).toEqual({ sub: world.userId });
    const byHeader = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
    expect(await byHeader.json()).toEqual({ sub: world.userId });
  });

  it('takes it in one way only, and never from the URL', async () => {
    const token = await tokenFor('openid');
    const url = `${world.url}/userinfo`;
    const both = await fetch(url, {
      method: 'POST',
      body: new URLSearchParams({ access_token: token }),
      headers: { authorization: `Bearer ${token}` },
    });
    const inUrl = await fetch(`${url}?access_token=${token}`);
    for (const response of [both, inUrl]) {
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: 'invalid_request' });
      expect(response.headers.get('www-authenticate')).toContain('error="invalid_request"');
    }
  });

  it('asks for a token without an error code where there is none (RFC 6750, 3.1)', async () => {
    const response = await fetch(`${world.url}/userinfo`);
    expect(response.status).toBe(401);
    const challenge = response.headers.get('www-authenticate') ?? '';
    expect(challenge).toMatch(/^Bearer realm="/);
    expect(challenge).not.toContain('error=');
  });

  it.each(['nonsense', 'a.b.c', 'pca_nonsense', 'pcr_nonsense', 'x'.repeat(9000)])(
    'refuses what is no token: %.20s',
    async (token) => {
      const { status, body, headers } = await world.userinfo(token);
      expect(status).toBe(401);
      expect(body).toMatchObject({ error: 'invalid_token' });
      expect(headers.get('www-authenticate')).toMatch(/^Bearer realm=".*error="invalid_token"/);
    },
  );

  it('refuses another scheme', async () => {
    const response = await fetch(`${world.url}/userinfo`, { headers: { authorization: 'Basic eDp5' } });
    expect(response.status).toBe(400);
  });

  it('refuses ID tokens and refresh tokens', async () => {
    const tokens = await world.tokens(own, { params: { scope: 'openid' } });
    for (const token of [tokens.id_token ?? '', tokens.refresh_token ?? '']) {
      expect((await world.userinfo(token)).status).toBe(401);
    }
  });

  it.each(['orders:read', 'phones:read'])('refuses a token without openid: %s', async (scope) => {
    const { status, body, headers } = await world.userinfo(await tokenFor(scope));
    expect(status).toBe(403);
    expect(body).toMatchObject({ error: 'insufficient_scope' });
    expect(headers.get('www-authenticate')).toContain('error="insufficient_scope"');
    expect(headers.get('www-authenticate')).toContain('scope="openid"');
  });

  it.each(['orders:read', 'phones:read'])('refuses a client’s own token: %s', async (scope) => {
    const answer = await world.post<{ access_token: string }>(
      '/token',
      { grant_type: 'client_credentials', scope },
      world.machine,
    );
    expect(await world.userinfo(answer.body.access_token)).toMatchObject({
      status: 401,
      body: { error: 'invalid_token' },
    });
  });

  it('answers 401 once the user or the client is disabled', async () => {
    const by = { actor: 'test' };
    const userId = await world.user('leaving');
    const token = await tokenFor('openid', 'leaving');
    await world.app.domain.accounts.setEnabled(userId, false, by);
    expect((await world.userinfo(token)).status).toBe(401);
    const going = await world.client({
      client_id: 'going',
      first_party: true,
      redirect_uris: ['https://going.example/cb'],
      scope: 'openid',
    });
    const { access_token: other } = await world.tokens(going, { params: { scope: 'openid' } });
    await world.app.domain.clients.setEnabled('going', false, by);
    expect((await world.userinfo(other)).status).toBe(401);
  });

  it('shows the user as it is now', async () => {
    const userId = await world.user('renamed', { name: 'Old Name' });
    const token = await tokenFor('openid profile', 'renamed');
    await world.app.domain.accounts.change(userId, { name: 'New Name' }, { actor: 'test' });
    expect((await world.userinfo(token)).body).toMatchObject({ sub: userId, name: 'New Name' });
  });
});
