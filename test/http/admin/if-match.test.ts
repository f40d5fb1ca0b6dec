import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from '../../support/fixtures.ts';
import { AdminClient, operationsOf, type Doc, type Page } from './support/admin-client.ts';

const REDIRECT = ['https://app.example/cb'];

/** A write about one resource: what it is sent, and what it answers. */
type Write = readonly [method: string, action: string, status: number, body?: Doc];

const KINDS: Readonly<Record<string, { readonly document: Doc; readonly id: string; writes: Write[] }>> = {
  clients: {
    document: { redirect_uris: REDIRECT },
    id: 'client_id',
    writes: [
      ['PATCH', '', 200, { client_name: 'New' }],
      ['POST', '/disable', 200],
      ['POST', '/enable', 200],
      ['POST', '/revoke', 204],
      ['DELETE', '', 204],
    ],
  },
  users: {
    document: { username: 'if-match' },
    id: 'id',
    writes: [
      ['PATCH', '', 200, { name: 'New' }],
      ['POST', '/disable', 200],
      ['POST', '/enable', 200],
      ['POST', '/revoke', 204],
      ['PUT', '/password', 204, { password: 'maple-harbour-quartz-9' }],
      ['DELETE', '', 204],
    ],
  },
  apis: {
    document: { identifier: 'https://if-match.example', name: 'Old' },
    id: 'identifier',
    writes: [
      ['PATCH', '', 200, { name: 'New' }],
      ['DELETE', '', 204],
    ],
  },
  webhooks: {
    document: { url: 'https://hooks.invalid/', events: ['key.retired'] },
    id: 'id',
    writes: [
      ['PATCH', '', 200, { url: 'https://hooks.invalid/new' }],
      ['DELETE', '', 204],
    ],
  },
};

describe('If-Match', () => {
  let world: World;
  let admin: AdminClient;
  beforeAll(async () => {
    world = await startWorld();
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  /** Ids of the audit log, denials of the reader apart. */
  const audited = async (): Promise<unknown[]> =>
    (await admin.ok<Page>('GET', '/audit-events?limit=200')).body.data.map(({ id }) => id);

  it.each(Object.entries(KINDS))(
    'of %s: each write is done for the tag that the resource has, and nothing for any other',
    async (kind, { document, id, writes }) => {
      const made = (await admin.ok('POST', `/${kind}`, { body: document })).body;
      const path = `/${kind}/${encodeURIComponent(String(made[id]))}`;
      for (const [method, action, status, body] of writes) {
        const before = await admin.ok('GET', path);
        const log = await audited();
        const call = async (tag: string, at = path + action) =>
          (await admin.call(method, at, { headers: { 'if-match': tag }, ...(body && { body }) })).status;
        for (const tag of ['"stale"', `W/${before.headers.get('etag')}`]) {
          expect([method, action, await call(tag)]).toEqual([method, action, 412]);
        }
        expect((await admin.ok('GET', path)).text).toBe(before.text);
        expect(await audited()).toEqual(log);
        const gone = await call('*', `/${kind}/nothing${action}`);
        expect([method, action, gone]).toEqual([method, action, method === 'DELETE' ? 412 : 404]);
        const done = await call(`"other", ${before.headers.get('etag')}`);
        expect([method, action, done]).toEqual([method, action, status]);
      }
      expect((await admin.call('DELETE', path)).status).toBe(204);
      expect((await admin.call('DELETE', path, { headers: { 'if-match': '*' } })).status).toBe(412);
    },
  );

  it('fits nothing where there is no ETag', async () => {
    const { body } = await admin.ok<Page<{ kid: string }>>('GET', '/keys');
    const kid = body.data[0]?.kid ?? '';
    const headers = { 'if-match': '"x"' };
    const secrets = (await admin.ok('GET', '/clients/web/secrets')).text;
    for (const path of [`/keys/${kid}/retire`, '/clients/web/secrets', '/clients/web/secrets/rotate']) {
      expect([path, (await admin.call('POST', path, { headers })).status]).toEqual([path, 412]);
    }
    expect((await admin.ok('GET', '/clients/web/secrets')).text).toBe(secrets);
    expect((await admin.ok('GET', '/keys')).body).toEqual(body);
    const any = { headers: { 'if-match': '*' } };
    expect((await admin.call('POST', '/clients/web/secrets', any)).status).toBe(201);
  });

  it('is described wherever something is written', () => {
    for (const { name, operation } of operationsOf(admin.document)) {
      const described = (operation.parameters ?? []).some((each) => each.name === 'If-Match');
      expect([name, described]).toEqual([name, !name.startsWith('GET')]);
    }
  });
});

describe('a client of the admin API', () => {
  let world: World;
  let admin: AdminClient;
  beforeAll(async () => {
    world = await startWorld();
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  it('is changed, ended and deleted only by a caller whose token holds its scopes', async () => {
    const token = await world.adminToken('clients:write clients:read secrets:write');
    const before = (await admin.ok('GET', '/clients/admin')).text;
    const { body: secrets } = await admin.ok<Page<{ id: string }>>('GET', '/clients/admin/secrets');
    const secret = `/clients/admin/secrets/${secrets.data[0]?.id}`;
    for (const [method, path, body] of [
      ['PATCH', '/clients/admin', { client_name: 'Mine' }],
      ['DELETE', '/clients/admin'],
      ['POST', '/clients/admin/disable'],
      ['POST', '/clients/admin/enable'],
      ['POST', '/clients/admin/revoke'],
      ['PATCH', secret, { name: 'mine' }],
      ['DELETE', `${secret}?force=true`],
    ] as const) {
      const refused = await admin.call(method, path, { token, ...(body && { body }) });
      expect([method, path, refused.status]).toEqual([method, path, 403]);
      const { body: log } = await admin.ok<Page>('GET', '/audit-events?type=admin.denied&limit=1');
      expect(log.data[0]).toMatchObject({
        request_id: refused.headers.get('x-request-id'),
        detail: { reason: expect.stringContaining('users:write') },
      });
    }
    expect((await admin.ok('GET', '/clients/admin')).text).toBe(before);
    expect((await admin.ok('GET', '/clients/admin/secrets')).body).toMatchObject({
      data: [{ status: 'active', name: 'bootstrap' }],
    });
    // Clients without admin scopes, and with no more than the caller's, are theirs to change.
    expect((await admin.call('POST', '/clients/web/revoke', { token })).status).toBe(204);
    const equal = await admin.ok('POST', '/clients', {
      body: { grant_types: ['client_credentials'], scope: 'clients:read' },
    });
    expect(
      (await admin.call('DELETE', `/clients/${String(equal.body['client_id'])}`, { token })).status,
    ).toBe(204);
  });
});
