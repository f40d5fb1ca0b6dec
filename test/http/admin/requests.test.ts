import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { basicAuth } from '../../support/server.ts';
import { startWorld, type World } from '../../support/fixtures.ts';
import { AdminClient, operationsOf } from './support/admin-client.ts';

describe.each(databaseKinds)('requests to the admin API on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const challenge = async (token: string | null, headers?: Record<string, string>): Promise<unknown[]> => {
    const { status, headers: answered } = await admin.call('GET', '/clients', {
      token,
      ...(headers ? { headers } : {}),
    });
    return [status, answered.get('www-authenticate')];
  };

  describe('the access token', () => {
    it('is asked for without an error code when none was sent', async () => {
      expect(await challenge(null)).toEqual([401, 'Bearer']);
      const authorization = basicAuth(world.admin.id, world.admin.secret);
      expect(await challenge(null, { authorization })).toEqual([401, 'Bearer']);
    });

    it('is taken from the Authorization header alone', async () => {
      const token = await world.adminToken();
      const inQuery = await admin.call('GET', `/clients?access_token=${token}`, { token: null });
      expect([inQuery.status, inQuery.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
      const beside = await admin.call('GET', `/clients?access_token=${token}`);
      expect(beside.status).toBe(422);
      const inForm = await admin.call('POST', '/tokens/introspect', {
        token: null,
        form: { access_token: token, token },
      });
      expect(inForm.status).toBe(401);
    });

    it('names its scheme in any case', async () => {
      const authorization = `bearer ${await world.adminToken()}`;
      expect(await challenge(null, { authorization })).toEqual([200, null]);
    });

    it.each([
      ['garbage', () => 'garbage'],
      ['nothing', () => ''],
      ['two tokens', async () => `${await world.adminToken()} x`],
      ['an opaque access token', () => `pca_${'x'.repeat(43)}`],
      ['a token for another API', async () => (await machineToken()).access_token],
      ["a user's token", async () => (await world.tokens(world.web)).access_token],
      ["a user's refresh token", async () => (await world.tokens(world.web)).refresh_token ?? ''],
      ['an ID token', async () => (await world.tokens(world.web)).id_token ?? ''],
      ['an altered token', async () => `${(await world.adminToken()).slice(0, -8)}AAAAAAAA`],
    ])('is refused as invalid when it is %s', async (_, made) => {
      expect(await challenge(null, { authorization: `Bearer ${await made()}` })).toEqual([
        401,
        'Bearer error="invalid_token"',
      ]);
    });

    const machineToken = async () =>
      (
        await world.post<{ access_token: string }>(
          '/token',
          { grant_type: 'client_credentials', scope: 'orders:read' },
          world.machine,
        )
      ).body;

    it('is refused from the moment that it is revoked, or its client is disabled', async () => {
      const { body: made } = await admin.ok<{ client_id: string; client_secret: string }>(
        'POST',
        '/clients',
        {
          body: { grant_types: ['client_credentials'], scope: 'clients:read' },
        },
      );
      const as = { id: made.client_id, secret: made.client_secret, redirect: '' };
      const fresh = async (): Promise<string> => {
        const { body } = await world.post<{ access_token: string }>(
          '/token',
          { grant_type: 'client_credentials', resource: 'urn:portcullis:admin', scope: 'clients:read' },
          as,
        );
        return body.access_token;
      };
      const [first, second] = [await fresh(), await fresh()];
      expect((await admin.call('GET', '/clients', { token: first })).status).toBe(200);
      await admin.ok('POST', '/tokens/revoke', { body: { token: first } });
      expect((await admin.call('GET', '/clients', { token: first })).status).toBe(401);
      expect((await admin.call('GET', '/clients', { token: second })).status).toBe(200);
      await admin.ok('POST', `/clients/${as.id}/disable`);
      expect((await admin.call('GET', '/clients', { token: second })).status).toBe(401);
    });
  });

  it.each([
    '/',
    '/nothing',
    '/clients/',
    '/clients/web/',
    '/clients//secrets',
    '/clients/web/secrets/a/b',
    's',
  ])('answers 404 where there is nothing: /admin/v1%s', async (path) => {
    expect((await admin.call('GET', path, { token: null })).body).toMatchObject({
      status: 404,
      code: 'not_found',
    });
  });

  it.each([
    ['PUT', '/clients', 'GET, HEAD, POST'],
    ['POST', '/clients/web', 'GET, HEAD, PATCH, DELETE'],
    ['GET', '/clients/web/secrets/rotate', 'POST'],
    ['PATCH', '/users/x/password', 'PUT'],
    ['OPTIONS', '/audit-events', 'GET, HEAD'],
    ['DELETE', '/openapi.json', 'GET, HEAD'],
  ])('answers 405 with Allow to %s %s', async (method, path, allow) => {
    const { status, headers } = await admin.call(method, path, { token: null });
    expect([status, headers.get('allow')]).toEqual([405, allow]);
  });

  it('answers HEAD as GET, without the body', async () => {
    const [head, get] = [await admin.call('HEAD', '/clients/web'), await admin.ok('GET', '/clients/web')];
    expect(head).toMatchObject({ status: 200, text: '' });
    expect(head.headers.get('etag')).toBe(get.headers.get('etag'));
  });

  it.each([
    ['/clients/%ZZ', 404],
    ['/clients/%FF', 404],
    ['/clients/a%00b', 404],
    ['/users/%00', 404],
    ['/apis/https%3A%2F%2Fnobody.example%2F', 404],
    ['/clients/..%2Fclients', 404],
    ['/clients/__proto__', 404],
  ])('answers %s with a problem, never a fault of its own', async (path, status) => {
    expect((await admin.call('GET', path)).status).toBe(status);
  });

  it('looks nothing up under a name with NUL, whatever the route', async () => {
    const routes = operationsOf(admin.document).filter(({ name }) => name.includes('{'));
    for (const { name } of routes) {
      const [method = '', path = ''] = name.split(' ');
      const { status } = await admin.call(
        method,
        path.replaceAll(/\{\w+\}/g, 'a%00'),
        method === 'GET' ? {} : { body: {} },
      );
      expect([name, status]).toEqual([name, 404]);
    }
  });

  it.each<[query: string, pointer: string]>([
    ['limit=0', '/limit'],
    ['limit=201', '/limit'],
    ['limit=', '/limit'],
    ['limit=-1', '/limit'],
    ['limit=1.5', '/limit'],
    ['limit=1e2', '/limit'],
    ['limit=ten', '/limit'],
    ['limit=1&limit=2', '/limit'],
    ['after=', '/after'],
    ['after=x', '/after'],
    [`after=${'x'.repeat(1001)}`, '/after'],
    [`after=${Buffer.from('["a",1]').toString('base64url')}`, '/after'],
    [`after=${Buffer.from('[1.5,"a"]').toString('base64url')}`, '/after'],
    [`after=${Buffer.from('[1,"\\u0000"]').toString('base64url')}`, '/after'],
    ['offset=3', '/offset'],
    ['__proto__=3', '/__proto__'],
  ])('refuses the query ?%s of a list', async (query, pointer) => {
    for (const path of ['/clients', '/users', '/apis']) {
      const { status, body } = await admin.call(`GET`, `${path}?${query}`);
      expect([path, status, body]).toMatchObject([path, 422, { errors: [{ pointer }] }]);
    }
  });

  it('takes limits from 1 to 200', async () => {
    for (const limit of ['1', '200']) {
      expect((await admin.call('GET', '/keys', { query: { limit } })).status).toBe(200);
    }
  });

  it.each([
    ['/grants?user=a%00', '/user'],
    ['/audit-events?since=yesterday', '/since'],
    ['/audit-events?type=client.exploded', '/type'],
    ['/audit-events?client=a&client=b', '/client'],
    ['/clients/web?limit=1', '/limit'],
  ])('refuses %s', async (path, pointer) => {
    const { status, body } = await admin.call('GET', path);
    expect([status, body]).toMatchObject([422, { errors: [{ pointer }] }]);
  });

  it.each<[string, readonly [string, string], number]>([
    ['malformed JSON', ['application/json', '{"client_name":'], 400],
    ['JSON that is not UTF-8', ['application/json; charset=utf-16', '{}'], 400],
    ['a form where JSON is due', ['application/x-www-form-urlencoded', 'client_name=x'], 415],
    ['text', ['text/plain', '{}'], 415],
    ['a body over 64 KiB', ['application/json', `{"client_name":"${'x'.repeat(70_000)}"}`], 413],
    ['an array', ['application/json', '[]'], 422],
    ['null', ['application/json', 'null'], 422],
    ['nothing', ['application/json', ''], 422],
  ])('refuses %s', async (_, raw, status) => {
    expect((await admin.call('POST', '/clients', { raw })).status).toBe(status);
    expect((await admin.call('PATCH', '/users/nobody', { raw })).status).toBe(status === 422 ? 404 : status);
  });

  it('takes a merge patch by its own type (RFC 7396)', async () => {
    const raw = ['application/merge-patch+json', '{"client_name":"Patched"}'] as const;
    expect((await admin.ok('PATCH', '/clients/web', { raw })).body).toMatchObject({ client_name: 'Patched' });
  });

  it('publishes its OpenAPI document to everybody, with a tag', async () => {
    const first = await admin.call('GET', '/openapi.json', { token: null });
    expect(first.status).toBe(200);
    expect(first.headers.get('cache-control')).toBe('public, max-age=300');
    expect(first.body).toMatchObject({ openapi: '3.1.0', servers: [{ url: `${world.url}/admin/v1` }] });
    const again = await fetch(`${world.url}/admin/v1/openapi.json`, {
      headers: { 'if-none-match': first.headers.get('etag') ?? '', 'cache-control': 'max-age=0' },
    });
    expect(again.status).toBe(304);
  });
});

describe('an issuer with a path', () => {
  it('has the admin API below it', async () => {
    const world = await startWorld({ path: '/auth' });
    try {
      const admin = await AdminClient.connect(world);
      const { headers } = await admin.ok('POST', '/clients', {
        body: { client_id: 'a', redirect_uris: ['https://a.example/'] },
      });
      expect(headers.get('location')).toBe(`${world.url}/admin/v1/clients/a`);
      expect((await admin.call('GET', '/clients/a')).status).toBe(200);
    } finally {
      await world.close();
    }
  });
});
