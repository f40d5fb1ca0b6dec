import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { ORDERS, startWorld, type World } from '../../support/fixtures.ts';
import { AdminClient, type Doc, type Page } from './support/admin-client.ts';

describe.each(databaseKinds)('APIs in the admin API on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const at = (identifier: string): string => `/apis/${encodeURIComponent(identifier)}`;
  const create = (body: Doc) => admin.call('POST', '/apis', { body });

  it('are found under their percent-encoded identifier', async () => {
    const identifier = 'https://stock.example/api/v1?tenant=a&x=%20é'.replace('é', '%C3%A9');
    const { status, headers, body } = await create({
      identifier,
      name: 'Stock',
      scopes: [{ name: 'stock:read', description: 'See the stock' }],
      access_token_ttl: 60,
    });
    expect(status).toBe(201);
    expect(headers.get('location')).toBe(`${world.url}/admin/v1${at(identifier)}`);
    const found = await admin.ok('GET', at(identifier));
    expect(found.body).toEqual(body);
    expect(found.headers.get('etag')).toBe(headers.get('etag'));
    expect(found.body).toMatchObject({ identifier, access_token_format: 'jwt', access_token_ttl: 60 });
  });

  it('that are built in can be seen, and not changed', async () => {
    for (const identifier of ['urn:portcullis:admin', `${world.url}/api`]) {
      expect((await admin.ok('GET', at(identifier))).body).toMatchObject({ identifier, created_at: null });
      expect((await admin.call('PATCH', at(identifier), { body: { name: 'x' } })).status).toBe(404);
    }
  });

  it.each<[Doc, string]>([
    [{ identifier: 'not a uri', name: 'x' }, '/identifier'],
    [{ identifier: 'urn:portcullis:admin', name: 'x' }, '/identifier'],
    [{ identifier: 'https://x.example/' }, '/name'],
    [
      { identifier: 'https://x.example/', name: 'x', scopes: [{ name: 'openid', description: 'x' }] },
      '/scopes/0/name',
    ],
    [
      { identifier: 'https://x.example/', name: 'x', scopes: [{ name: 'clients:read', description: 'x' }] },
      '/scopes/0/name',
    ],
  ])('are refused with a pointer: %j', async (body, pointer) => {
    const answer = await create(body);
    expect([answer.status, answer.body]).toMatchObject([422, { errors: [{ pointer }] }]);
  });

  it('have identifiers and scopes that are taken once', async () => {
    expect((await create({ identifier: ORDERS, name: 'x' })).body).toMatchObject({
      status: 409,
      code: 'api_exists',
    });
    const body = {
      identifier: 'https://other.example/',
      name: 'x',
      scopes: [{ name: 'orders:read', description: 'x' }],
    };
    expect((await create(body)).body).toMatchObject({ status: 409, code: 'scope_taken' });
  });

  it('are changed by merge patch, as they were read when If-Match says so', async () => {
    const identifier = 'https://patched.example/';
    const { headers } = await create({ identifier, name: 'Before', access_token_ttl: 60 });
    const patch = (body: Doc) =>
      admin.call('PATCH', at(identifier), { body, headers: { 'if-match': headers.get('etag') ?? '' } });
    expect((await patch({ name: 'After', access_token_ttl: null })).body).toMatchObject({
      name: 'After',
      access_token_ttl: null,
    });
    expect((await patch({ name: 'Again' })).status).toBe(412);
    expect(
      (await admin.call('PATCH', at(identifier), { body: { identifier: 'https://x.example/' } })).status,
    ).toBe(422);
  });

  it('are listed each once while others are added', async () => {
    let more = 4;
    const add = () => create({ identifier: `https://listed-${more--}.example/`, name: 'Listed' });
    const before = (await admin.ok<Page>('GET', '/apis?limit=200')).body.data.map((api) => api['identifier']);
    const listed = await admin.all('/apis', 1, {}, async () => {
      if (more > 0) await add();
    });
    const identifiers = listed.map((api) => api['identifier']);
    expect(new Set(identifiers).size).toBe(identifiers.length);
    expect(identifiers.slice(0, before.length)).toEqual(before);
    expect(identifiers).toHaveLength(before.length + 4);
  });

  it('make their tokens inactive when they are deleted', async () => {
    const tokens = await world.tokens(world.web);
    expect(await world.introspect(tokens.access_token)).toMatchObject({ active: true });
    for (const _ of [1, 2]) expect((await admin.call('DELETE', at(ORDERS))).status).toBe(204);
    expect(await world.introspect(tokens.access_token)).toEqual({ active: false });
    expect(await world.refresh(world.web, tokens.refresh_token ?? '')).toMatchObject({
      status: 400,
      body: { error: 'invalid_target' },
    });
    expect((await admin.call('GET', at(ORDERS))).status).toBe(404);
  });
});
