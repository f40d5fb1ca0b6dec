import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type TestClient, type Tokens, type World } from '../../support/fixtures.ts';
import { AdminClient } from '../admin/support/admin-client.ts';
import { ask } from '../support/authorization.ts';

describe.each(databaseKinds)('an API that is deleted and made again under its identifier, on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  let web: TestClient;
  let machine: TestClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

  describe.each(['jwt', 'opaque'])('with %s tokens', (format) => {
    const identifier = `https://again.example/${format}`;
    const scope = `again:${format}`;
    const make = () =>
      admin.ok('POST', '/apis', {
        body: {
          identifier,
          name: 'Again',
          scopes: [{ name: scope, description: 'Do it again' }],
          access_token_format: format,
        },
      });
    const again = async (): Promise<void> => {
      await admin.ok('DELETE', `/apis/${encodeURIComponent(identifier)}`);
      await make();
    };
    const inspect = async (token: string) =>
      (await admin.ok<Record<string, unknown>>('POST', '/tokens/introspect', { body: { token } })).body;
    beforeAll(async () => {
      await make();
      const document = { scope: `openid ${scope}`, redirect_uris: ['https://again.example/cb'] };
      const code = ['authorization_code', 'refresh_token', GRANT];
      web = await world.client({ ...document, client_id: `web-${format}`, grant_types: code });
      machine = await world.client({
        client_id: `machine-${format}`,
        redirect_uris: [],
        grant_types: ['client_credentials'],
        scope,
      });
    });
    const own = async (): Promise<string> => {
      const answer = await world.post<Tokens>('/token', { grant_type: 'client_credentials', scope }, machine);
      expect(answer.status).toBe(200);
      return answer.body.access_token;
    };

    it('does not revive a client’s own token', async () => {
      const old = await own();
      expect(await world.introspect(old, machine)).toMatchObject({ active: true, aud: identifier });
      await again();
      expect(await world.introspect(old, machine)).toEqual({ active: false });
      expect(await inspect(old)).toMatchObject({ active: false, inactive_reason: 'api_deleted' });
      const young = await own();
      expect(await world.introspect(young, machine)).toMatchObject({ active: true, aud: identifier });
      expect(await inspect(young)).toMatchObject({ active: true });
    });

    it('revives no family, no code and no consent', async () => {
      const params = { scope: `openid ${scope}` };
      const old = await world.tokens(web, { params });
      const { browser } = old;
      expect((await world.refresh(web, old.refresh_token ?? '')).status).toBe(200);
      const kept = await world.tokens(web, { params, browser });
      const waiting = await world.authorize(web, { params, browser });
      await again();
      for (const token of [old.access_token, kept.access_token]) {
        expect(await world.introspect(token, web)).toEqual({ active: false });
        expect((await world.userinfo(token)).status).toBe(401);
      }
      const refused = { status: 400, body: { error: 'invalid_target' } };
      expect(await world.refresh(web, kept.refresh_token ?? '')).toMatchObject(refused);
      const { code, verifier: code_verifier } = waiting;
      const form = { grant_type: 'authorization_code', code, code_verifier, redirect_uri: web.redirect };
      expect(await world.post('/token', form, web)).toMatchObject(refused);
      expect((await ask(world, web, params, browser)).page).toBe('consent');
      const young = await world.tokens(web, { params, browser });
      const refreshed = await world.refresh(web, young.refresh_token ?? '');
      expect(refreshed.status).toBe(200);
      expect(await world.introspect(refreshed.body.access_token, web)).toMatchObject({ active: true });
    });

    it('revives no device', async () => {
      const device = await world.post<Record<string, string>>('/device_authorization', { scope }, web);
      const { user_code = '', device_code = '' } = device.body;
      const { browser } = await world.authorize(web, { params: { scope } });
      let page = await browser.submit(await browser.go(`${world.url}/device`), { user_code }, '/device');
      page = await browser.submit(page, { decision: 'allow' }, '/device');
      const tokens = await world.post<Tokens>('/token', { grant_type: GRANT, device_code }, web);
      expect(tokens.status).toBe(200);
      const alive = await world.refresh(web, tokens.body.refresh_token ?? '');
      expect(alive.status).toBe(200);
      await again();
      const dead = await world.refresh(web, alive.body.refresh_token ?? '');
      expect(dead).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    });
  });

  it('the default API is the same whether it is stored or not', async () => {
    const identifier = `${world.url}/api`;
    const { access_token: token } = await world.tokens(world.web, { params: { scope: 'openid' } });
    expect(decodeJwt(token)).not.toHaveProperty('apg');
    await admin.ok('POST', '/apis', { body: { identifier, name: 'Ours', scopes: [] } });
    expect(await world.introspect(token, world.web)).toMatchObject({ active: true, aud: identifier });
    await admin.ok('DELETE', `/apis/${encodeURIComponent(identifier)}`);
    expect(await world.introspect(token, world.web)).toMatchObject({ active: true, aud: identifier });
  });
});
