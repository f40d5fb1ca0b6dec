import { decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type World } from '../../support/fixtures.ts';
import { AdminClient, type Doc, type Page } from './support/admin-client.ts';

interface Key extends Doc {
  readonly kid: string;
  readonly status: string;
}

describe.each(databaseKinds)('signing keys in the admin API on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const rotate = (body?: Doc) => admin.call<Key & Page<Key>>('POST', '/keys/rotate', body ? { body } : {});
  const signedWith = async (): Promise<string | undefined> =>
    decodeProtectedHeader((await world.tokens(world.web)).access_token).kid;

  it('are all rotated when no algorithm is named, and published before they sign', async () => {
    const before = await signedWith();
    const { status, body } = await rotate();
    expect(status).toBe(201);
    expect(body.data.map(({ status: is }) => is)).toEqual(['pending', 'pending']);
    expect(new Set(body.data.map(({ alg }) => alg))).toEqual(new Set(['ES256', 'RS256']));
    expect(await signedWith()).toBe(before);
  });

  it('take over at once when told so, and end what the old one signed', async () => {
    const { access_token: token } = await world.tokens(world.web);
    const { status, body } = await rotate({ alg: 'ES256', immediate: true });
    expect([status, body]).toMatchObject([201, { alg: 'ES256', status: 'active' }]);
    expect(await signedWith()).toBe(body.kid);
    expect(await world.introspect(token)).toEqual({ active: false });
    const { body: known } = await admin.ok('POST', '/tokens/introspect', {
      token: await world.adminToken(),
      body: { token },
    });
    expect(known).toMatchObject({ active: false, inactive_reason: 'key_retired' });
  });

  it('are retired one by one, again without complaint', async () => {
    const token = await world.adminToken();
    const { body: made } = await admin.ok<Key>('POST', '/keys/rotate', { body: { alg: 'RS256' }, token });
    for (const _ of [1, 2]) {
      const { status, body } = await admin.call('POST', `/keys/${made.kid}/retire`, { token });
      expect([status, body]).toMatchObject([200, { kid: made.kid, status: 'retired' }]);
    }
    expect((await admin.call('POST', '/keys/nothing/retire', { token })).status).toBe(404);
    const { body } = await admin.ok<Page<Key>>('GET', '/keys', { token });
    expect(body.data.find(({ kid }) => kid === made.kid)).toMatchObject({ status: 'retired' });
    expect((await admin.ok<Page<Key>>('GET', '/keys?limit=1', { token })).body.next).not.toBeNull();
  });

  it.each<[Doc, string]>([
    [{ alg: 'HS256' }, '/alg'],
    [{ alg: 'none' }, '/alg'],
    [{ immediate: 'yes' }, '/immediate'],
    [{ kid: 'mine' }, '/kid'],
  ])('are not rotated by %j', async (body, pointer) => {
    const token = await world.adminToken();
    const answer = await admin.call('POST', '/keys/rotate', { body, token });
    expect([answer.status, answer.body]).toMatchObject([422, { errors: [{ pointer }] }]);
  });
});
