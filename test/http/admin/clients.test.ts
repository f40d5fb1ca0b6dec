import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type World } from '../../support/fixtures.ts';
import { AdminClient, type Doc, type Page } from './support/admin-client.ts';

const REDIRECT = ['https://app.example/cb'];

describe.each(databaseKinds)('clients in the admin API on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const create = async (document: Doc = {}): Promise<Doc & { client_id: string; client_secret?: string }> =>
    (
      await admin.ok<Doc & { client_id: string }>('POST', '/clients', {
        body: { redirect_uris: REDIRECT, ...document },
      })
    ).body;

  it('are created with a secret that is shown this once', async () => {
    const { status, body, headers } = await admin.call('POST', '/clients', {
      body: { client_id: 'created', client_name: 'Created', redirect_uris: REDIRECT },
    });
    expect(status).toBe(201);
    expect(headers.get('location')).toBe(`${world.url}/admin/v1/clients/created`);
    expect(body).toMatchObject({
      client_id: 'created',
      token_endpoint_auth_method: 'client_secret_basic',
      client_secret: expect.stringMatching(/^pcs_[\w-]{43}$/),
      secret: { status: 'active', hint: String(body['client_secret']).slice(-4), expires_at: null },
    });
    const found = await admin.ok('GET', '/clients/created');
    const { client_secret: _value, secret: _secret, ...client } = body;
    expect(found.body).toEqual(client);
    expect(found.headers.get('etag')).toBe(headers.get('etag'));
  });

  it.each<[string, Doc]>([
    ['public', { token_endpoint_auth_method: 'none' }],
    ['native', { application_type: 'native', redirect_uris: ['com.example.app:/cb'] }],
  ])('that are %s get no secret', async (_, document) => {
    const body = await create(document);
    expect(body).not.toHaveProperty('client_secret');
    expect((await admin.ok<Page>('GET', `/clients/${body.client_id}/secrets`)).body.data).toEqual([]);
  });

  it('are refused with a pointer to each fault', async () => {
    const { status, body } = await admin.call('POST', '/clients', {
      body: {
        redirect_uris: ['http://shop.example/cb', 'https://a.example/#x'],
        grant_types: ['password'],
        x: 1,
      },
    });
    expect(status).toBe(422);
    expect(body).toMatchObject({
      code: 'invalid_client_metadata',
      errors: expect.arrayContaining(
        ['/redirect_uris/0', '/redirect_uris/1', '/grant_types/0', '/x'].map((pointer) =>
          expect.objectContaining({ pointer }),
        ),
      ),
    });
  });

  it('have ids that are taken once', async () => {
    const { client_id } = await create();
    expect(
      (await admin.call('POST', '/clients', { body: { client_id, redirect_uris: REDIRECT } })).body,
    ).toMatchObject({
      status: 409,
      code: 'client_exists',
      errors: [{ pointer: '/client_id' }],
    });
  });

  it('are changed by merge patch', async () => {
    const { client_id: id } = await create({ client_name: 'Before', access_token_ttl: 60 });
    const { body } = await admin.ok('PATCH', `/clients/${id}`, {
      body: { client_name: null, rotation_grace: 10 },
    });
    expect(body).toMatchObject({ access_token_ttl: 60, rotation_grace: 10, redirect_uris: REDIRECT });
    expect(body).not.toHaveProperty('client_name');
    expect((await admin.ok('GET', `/clients/${id}`)).body).toEqual(body);
    expect((await admin.call('PATCH', '/clients/nobody', { body: {} })).status).toBe(404);
  });

  it('are changed only as they were read, when If-Match says so', async () => {
    const { client_id: id } = await create();
    const patch = (ifMatch: string, name: string) =>
      admin.call('PATCH', `/clients/${id}`, {
        body: { client_name: name },
        headers: { 'if-match': ifMatch },
      });
    const seen = (await admin.ok('GET', `/clients/${id}`)).headers.get('etag') ?? '';
    const changed = await patch(seen, 'First');
    expect(changed.status).toBe(200);
    const now = changed.headers.get('etag') ?? '';
    expect(now).not.toBe(seen);
    expect((await patch(seen, 'Second')).body).toMatchObject({ status: 412, code: 'version_mismatch' });
    expect((await patch(`W/${now}`, 'Second')).status).toBe(412);
    expect((await patch('"x"', 'Second')).status).toBe(412);
    expect((await admin.ok('GET', `/clients/${id}`)).body).toMatchObject({ client_name: 'First' });
    expect((await patch(`"x", ${now}`, 'Third')).status).toBe(200);
    expect((await patch('*', 'Fourth')).body).toMatchObject({ client_name: 'Fourth' });
  });

  it('give one of parallel changes with the same If-Match the floor', async () => {
    const { client_id: id } = await create();
    const etag = (await admin.ok('GET', `/clients/${id}`)).headers.get('etag') ?? '';
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        admin.call('PATCH', `/clients/${id}`, {
          body: { client_name: `Writer ${i}` },
          headers: { 'if-match': etag },
        }),
      ),
    );
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(7);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  it('are listed each once, in order, while others are added', async () => {
    const before = (await admin.all<{ client_id: string }>('/clients', 200)).map(({ client_id: id }) => id);
    for (let i = 0; i < 5; i++) before.push((await create()).client_id);
    const listed = await admin.all<{ client_id: string }>('/clients', 2, {}, async () => {
      if (before.length < 60) await create();
    });
    const ids = listed.map(({ client_id: id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.slice(0, before.length)).toEqual(before);
    expect(ids.length).toBeGreaterThan(before.length);
  });

  it('are deleted, once more without complaint, with all that they hold', async () => {
    const { client_id: id, client_secret: secret } = await create({
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: 'orders:read',
    });
    const as = { id, secret, redirect: '' };
    const form = { grant_type: 'client_credentials', scope: 'orders:read' };
    const ask = () => world.post<{ access_token: string }>('/token', form, as);
    const { access_token: token } = (await ask()).body;
    expect(await world.introspect(token)).toMatchObject({ active: true });
    for (const _ of [1, 2]) expect((await admin.call('DELETE', `/clients/${id}`)).status).toBe(204);
    expect((await admin.call('GET', `/clients/${id}`)).status).toBe(404);
    expect((await ask()).status).toBe(401);
    expect(await world.introspect(token)).toEqual({ active: false });
    await create({
      client_id: id,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: 'orders:read',
    });
    expect(await world.introspect(token)).toEqual({ active: false });
    expect((await ask()).status).toBe(401);
  });

  it('lose all tokens when they are disabled, and do not get them back', async () => {
    const { client_id: id, client_secret: secret } = await create({
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      scope: 'openid offline_access orders:read',
    });
    const as = { id, secret, redirect: REDIRECT[0] ?? '' };
    const own = await world.post<{ access_token: string }>(
      '/token',
      { grant_type: 'client_credentials', scope: 'orders:read' },
      as,
    );
    const tokens = await world.tokens(as);
    expect((await admin.ok('POST', `/clients/${id}/disable`)).body).toMatchObject({ enabled: false });
    const dead = async (): Promise<void> => {
      for (const token of [own.body.access_token, tokens.access_token]) {
        expect(await world.introspect(token)).toEqual({ active: false });
      }
    };
    await dead();
    expect((await world.refresh(as, tokens.refresh_token ?? '')).status).toBe(401);
    expect((await admin.ok('POST', `/clients/${id}/enable`)).body).toMatchObject({ enabled: true });
    await dead();
    expect(await world.refresh(as, tokens.refresh_token ?? '')).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    });
    expect(await world.introspect((await world.tokens(as)).access_token)).toMatchObject({ active: true });
  });

  it('lose all tokens when they are revoked, and may ask for new ones', async () => {
    const tokens = await world.tokens(world.web);
    const form = { grant_type: 'client_credentials', scope: 'orders:read' };
    const ask = () => world.post<{ access_token: string }>('/token', form, world.machine);
    const own = (await ask()).body.access_token;
    for (const id of ['web', 'machine']) {
      expect((await admin.call('POST', `/clients/${id}/revoke`)).status).toBe(204);
    }
    expect(await world.introspect(own)).toEqual({ active: false });
    expect(await world.introspect(tokens.access_token)).toEqual({ active: false });
    expect((await world.refresh(world.web, tokens.refresh_token ?? '')).status).toBe(400);
    expect(await world.introspect((await ask()).body.access_token)).toMatchObject({ active: true });
    expect((await admin.call('POST', '/clients/nobody/revoke')).status).toBe(404);
  });

  it('can be given an admin scope only by a caller who has it', async () => {
    const token = await world.adminToken('clients:write clients:read');
    const body = { grant_types: ['client_credentials'], scope: 'clients:read users:write' };
    const refused = await admin.call('POST', '/clients', { body, token });
    expect(refused.body).toMatchObject({
      status: 403,
      code: 'insufficient_scope',
      errors: [{ pointer: '/scope', detail: expect.stringContaining('users:write') }],
    });
    const { body: audit } = await admin.ok<Page>('GET', '/audit-events?type=admin.denied&limit=1');
    expect(audit.data[0]).toMatchObject({ request_id: refused.headers.get('x-request-id') });
    const given = await admin.call('POST', '/clients', { body: { ...body, scope: 'clients:read' }, token });
    expect(given.status).toBe(201);
  });
});
