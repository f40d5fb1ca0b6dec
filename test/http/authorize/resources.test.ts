import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import {
  ORDERS,
  PHONES,
  startWorld,
  type TestClient,
  type Tokens,
  type World,
} from '../../support/fixtures.ts';
import { ask } from '../support/authorization.ts';

const BILLING = 'https://billing.example/';

describe('audience and scope', () => {
  let world: World;
  let own: TestClient;
  let hurried: TestClient;
  beforeAll(async () => {
    world = await startWorld();
    const { storage } = world.app.domain;
    await storage.apis.create(
      {
        identifier: BILLING,
        name: 'Billing',
        scopes: [{ name: 'bills:read', description: 'See bills' }],
        accessTokenFormat: 'jwt',
        accessTokenTtl: 77,
        signingAlg: 'RS256',
      },
      { type: 'api.created', detail: { identifier: BILLING } },
    );
    const document = {
      first_party: true,
      redirect_uris: ['https://own.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid profile orders:read orders:write phones:read bills:read',
    };
    own = await world.client({ ...document, client_id: 'own' });
    hurried = await world.client({ ...document, client_id: 'hurried', access_token_ttl: 5 });
  });
  afterAll(() => world.close());

  const issued = async (params: Record<string, string | undefined>, client = own) => {
    const tokens = await world.tokens(client, { params });
    return { ...tokens, claims: decodeJwt(tokens.access_token) };
  };

  it('goes by the resource', async () => {
    const { claims } = await issued({ scope: 'openid orders:read', resource: ORDERS });
    expect(claims).toMatchObject({ aud: ORDERS, scope: 'openid orders:read' });
  });

  it('goes by the API that owns the scopes', async () => {
    const { claims, scope } = await issued({ scope: 'openid profile orders:read orders:write' });
    expect(claims).toMatchObject({ aud: ORDERS, scope: 'openid profile orders:read orders:write' });
    expect(scope).toBe('openid profile orders:read orders:write');
  });

  it('goes to the default API where neither names one', async () => {
    const { claims } = await issued({ scope: 'openid' });
    expect(claims).toMatchObject({ aud: `${world.url}/api`, scope: 'openid' });
  });

  it('works without openid, then without an ID token', async () => {
    const { claims, id_token: idToken } = await issued({ scope: 'orders:read' });
    expect(claims).toMatchObject({ aud: ORDERS, scope: 'orders:read' });
    expect(idToken).toBeUndefined();
  });

  it('lives as the client says, else the API, else the server', async () => {
    expect((await issued({ scope: 'orders:read' })).expires_in).toBe(600);
    const billing = await issued({ scope: 'bills:read' });
    expect(billing.expires_in).toBe(77);
    expect(Number(billing.claims.exp) - Number(billing.claims.iat)).toBe(77);
    expect((await issued({ scope: 'bills:read' }, hurried)).expires_in).toBe(5);
  });

  it('is opaque for an API that says so', async () => {
    const tokens = await world.tokens(own, { params: { scope: 'openid phones:read' } });
    expect(tokens.access_token).toMatch(/^pca_[A-Za-z0-9_-]{43}$/);
    expect(await world.introspect(tokens.access_token)).toMatchObject({
      active: true,
      aud: PHONES,
      scope: 'openid phones:read',
      sub: world.userId,
      client_id: 'own',
      auth_time: expect.any(Number),
      acr: expect.any(String),
      amr: ['pwd'],
    });
  });

  it('is kept on refresh, and so is the scope', async () => {
    const tokens = await issued({ scope: 'openid orders:read orders:write' });
    const narrowed = await world.refresh(own, tokens.refresh_token ?? '', { scope: 'orders:read' });
    expect(narrowed.body.scope).toBe('orders:read');
    expect(decodeJwt(narrowed.body.access_token)).toMatchObject({ aud: ORDERS, scope: 'orders:read' });
    const whole = await world.refresh(own, narrowed.body.refresh_token ?? '');
    expect(whole.body.scope).toBe('openid orders:read orders:write');
    const wider = await world.refresh(own, whole.body.refresh_token ?? '', { scope: 'orders:read profile' });
    expect(wider).toMatchObject({ status: 400, body: { error: 'invalid_scope' } });
    // The refusal cost nothing.
    expect((await world.refresh(own, whole.body.refresh_token ?? '', { resource: ORDERS })).status).toBe(200);
  });

  it('cannot be changed at the token endpoint', async () => {
    const { code, verifier } = await world.authorize(own, { params: { scope: 'openid orders:read' } });
    const redeem = (resource: string) =>
      world.post(
        '/token',
        { grant_type: 'authorization_code', code, code_verifier: verifier, resource },
        own,
      );
    expect(await redeem(PHONES)).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
  });

  it.each([
    ['an unknown resource', { resource: 'https://nobody.example/' }, 'invalid_target'],
    ['a resource that is no URI', { resource: 'orders' }, 'invalid_target'],
    ['a resource with a fragment', { resource: `${ORDERS}#x` }, 'invalid_target'],
    ['a resource that only looks the same', { resource: `${ORDERS}/` }, 'invalid_target'],
    ['the admin API', { resource: 'urn:portcullis:admin', scope: 'openid' }, 'invalid_target'],
    ['a resource without any of its scopes', { scope: 'openid', resource: ORDERS }, 'invalid_target'],
    ['two resources', { resource: [ORDERS, PHONES] }, 'invalid_target'],
    ['the same resource twice', { resource: [ORDERS, ORDERS] }, 'invalid_target'],
    ['scopes of two APIs', { scope: 'openid orders:read phones:read' }, 'invalid_target'],
    ['an unknown scope', { scope: 'openid nothing:known' }, 'invalid_scope'],
    ['a scope of another API than the resource', { scope: 'phones:read', resource: ORDERS }, 'invalid_scope'],
    ['a scope that the client may not have', { scope: 'openid email' }, 'invalid_scope'],
    ['a scope of the admin API', { scope: 'clients:write' }, 'invalid_scope'],
    ['a scope with forbidden characters', { scope: 'openid "x"' }, 'invalid_scope'],
    ['a name of the language', { scope: 'openid __proto__ constructor' }, 'invalid_scope'],
    ['no scope at all', { scope: undefined }, 'invalid_scope'],
  ])('refuses %s, by redirect', async (_name, params, error) => {
    const reply = await ask(world, own, { scope: 'openid orders:read', ...params });
    expect(reply.error).toBe(error);
    expect(reply.target).toBe(own.redirect);
  });
});

describe.each(databaseKinds)('who gets a token for an API (%s)', (kind) => {
  const BARE = 'https://bare.example/';
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
    await world.app.domain.storage.apis.create(
      {
        identifier: BARE,
        name: 'No scopes',
        scopes: [],
        accessTokenFormat: 'jwt',
        accessTokenTtl: undefined,
        signingAlg: 'ES256',
      },
      { type: 'api.created', detail: { identifier: BARE } },
    );
  });
  afterAll(() => world.close());

  const machine = (client_id: string, more: Record<string, unknown>): Promise<TestClient> =>
    world.client({ client_id, grant_types: ['client_credentials'], redirect_uris: [], ...more });
  const own = (client: TestClient, resource: string) =>
    world.post<Partial<Tokens>>('/token', { grant_type: 'client_credentials', resource }, client);

  it('not a client without any of its scopes', async () => {
    const client = await machine('nothing', { scope: '' });
    for (const resource of [ORDERS, PHONES, 'urn:portcullis:admin'])
      expect(await own(client, resource)).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    expect((await own(client, `${world.url}/api`)).status).toBe(200);
  });

  it('not a client that asks for other scopes, whatever its user allows', async () => {
    const third = await world.client({
      client_id: 'third',
      redirect_uris: ['https://third.example/cb'],
      scope: 'openid orders:read',
    });
    const reply = await ask(world, third, { scope: 'openid', resource: ORDERS });
    expect(reply.error).toBe('invalid_target');
    const device = await world.client({
      client_id: 'device',
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
      redirect_uris: [],
      scope: 'openid orders:read',
    });
    const begun = await world.post('/device_authorization', { scope: 'openid', resource: ORDERS }, device);
    expect(begun).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
  });

  it('for people a first-party client alone, where the API has no scopes; for itself every client', async () => {
    const foreign = await own(await machine('foreign', { scope: 'orders:read' }), BARE);
    expect(decodeJwt(foreign.body.access_token ?? '')).toMatchObject({ aud: BARE, sub: 'foreign' });
    const [theirs, ours] = [false, true].map((first_party) =>
      world.client({
        client_id: first_party ? 'ours' : 'theirs',
        redirect_uris: ['https://bare.example/cb'],
        scope: 'openid',
        first_party,
      }),
    );
    expect((await ask(world, await theirs!, { scope: 'openid', resource: BARE })).error).toBe(
      'invalid_target',
    );
    const tokens = await world.tokens(await ours!, { params: { scope: 'openid', resource: BARE } });
    expect(decodeJwt(tokens.access_token)).toMatchObject({ aud: BARE });
  });

  it('no longer a client whose scopes of it were all taken away', async () => {
    const tokens = await world.tokens(world.web, { params: { scope: 'openid orders:read' } });
    const refresh = () => world.refresh(world.web, tokens.refresh_token ?? '');
    const { clients } = world.app.domain;
    const scope = (await clients.get('web')).metadata.scope;
    const by = { actor: 'test', scopes: [] };
    const change = (allowed: string) => clients.change('web', { scope: allowed }, by);
    await change('openid orders:write');
    expect(await refresh()).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    await change(scope);
    expect((await refresh()).status).toBe(200); // the refusal cost nothing
  });
});
