import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_SCOPES } from '../../../src/clients/apis.ts';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type World } from '../../support/fixtures.ts';
import { AdminClient, operationsOf, type CallOptions, type Page } from './support/admin-client.ts';

const SCOPES = ADMIN_SCOPES.map(({ name }) => name);
const PASSWORD = 'maple-harbour-quartz-9';
const REDIRECT = ['https://new.example/cb'];
/** A name that no resolver knows (RFC 6761, 6.4). */
const NOWHERE = 'https://hooks.invalid/';

interface Case extends CallOptions {
  readonly path?: string;
}

describe.each(databaseKinds)('every route of the admin API on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  let made = 0;
  beforeAll(async () => {
    world = await startWorld({ kind });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const client = async (): Promise<string> =>
    (await world.client({ client_id: `client-${made++}`, redirect_uris: REDIRECT })).id;
  const user = (): Promise<string> => world.user(`user-${made++}`);
  const api = async (): Promise<string> => {
    const identifier = `https://api-${made++}.example/v1`;
    await admin.ok('POST', '/apis', { body: { identifier, name: 'An API' } });
    return encodeURIComponent(identifier);
  };
  const first = async (path: string): Promise<string> => {
    const { body } = await admin.ok<Page<{ id: string }>>('GET', path);
    return body.data[0]?.id ?? '';
  };
  const secretOf = async (id: string): Promise<string> => {
    await admin.ok('POST', `/clients/${id}/secrets`);
    return first(`/clients/${id}/secrets`);
  };
  const grant = async (): Promise<string> => {
    await world.tokens(world.web);
    return first(`/grants?user=${world.userId}`);
  };

  const webhook = async (type = 'key.retired'): Promise<string> => {
    const body = { url: NOWHERE, events: [type] };
    return (await admin.ok<{ id: string }>('POST', '/webhooks', { body })).body.id;
  };

  const cases: Record<string, () => Promise<Case> | Case> = {
    'GET /clients': () => ({}),
    'POST /clients': () => ({ body: { redirect_uris: REDIRECT } }),
    'GET /clients/{client_id}': () => ({ path: '/clients/web' }),
    'GET /clients/{client_id}/logout-notices': () => ({ path: '/clients/web/logout-notices' }),
    'PATCH /clients/{client_id}': () => ({ path: '/clients/web', body: { client_name: 'Shop' } }),
    'DELETE /clients/{client_id}': async () => ({ path: `/clients/${await client()}` }),
    'POST /clients/{client_id}/disable': async () => ({ path: `/clients/${await client()}/disable` }),
    'POST /clients/{client_id}/enable': async () => ({ path: `/clients/${await client()}/enable` }),
    'POST /clients/{client_id}/revoke': async () => ({ path: `/clients/${await client()}/revoke` }),
    'GET /clients/{client_id}/secrets': () => ({ path: '/clients/web/secrets' }),
    'POST /clients/{client_id}/secrets': async () => ({ path: `/clients/${await client()}/secrets` }),
    'POST /clients/{client_id}/secrets/rotate': async () => ({
      path: `/clients/${await client()}/secrets/rotate`,
    }),
    'PATCH /clients/{client_id}/secrets/{secret_id}': async () => {
      const id = await client();
      return { path: `/clients/${id}/secrets/${await secretOf(id)}`, body: { name: 'the first' } };
    },
    'DELETE /clients/{client_id}/secrets/{secret_id}': async () => {
      const id = await client();
      return { path: `/clients/${id}/secrets/${await secretOf(id)}` };
    },
    'GET /apis': () => ({}),
    'POST /apis': () => ({ body: { identifier: `https://posted-${made++}.example`, name: 'Posted' } }),
    'GET /apis/{identifier}': async () => ({ path: `/apis/${await api()}` }),
    'PATCH /apis/{identifier}': async () => ({ path: `/apis/${await api()}`, body: { name: 'Renamed' } }),
    'DELETE /apis/{identifier}': async () => ({ path: `/apis/${await api()}` }),
    'GET /users': () => ({}),
    'POST /users': () => ({ body: { username: `posted-${made++}`, password: PASSWORD } }),
    'GET /users/{user_id}': async () => ({ path: `/users/${await user()}` }),
    'PATCH /users/{user_id}': async () => ({ path: `/users/${await user()}`, body: { name: 'Someone' } }),
    'DELETE /users/{user_id}': async () => ({ path: `/users/${await user()}` }),
    'POST /users/{user_id}/disable': async () => ({ path: `/users/${await user()}/disable` }),
    'POST /users/{user_id}/enable': async () => ({ path: `/users/${await user()}/enable` }),
    'POST /users/{user_id}/revoke': async () => ({ path: `/users/${await user()}/revoke` }),
    'DELETE /users/{user_id}/second-factors': async () => ({
      path: `/users/${await user()}/second-factors`,
    }),
    'PUT /users/{user_id}/password': async () => ({
      path: `/users/${await user()}/password`,
      body: { password: PASSWORD },
    }),
    'GET /grants': async () => ((await grant()) ? {} : {}),
    'DELETE /grants/{grant_id}': async () => ({ path: `/grants/${await grant()}` }),
    'GET /sessions': async () => ((await grant()) ? {} : {}),
    'DELETE /sessions/{session_id}': async () =>
      (await grant()) ? { path: `/sessions/${await first('/sessions')}` } : {},
    'GET /audit-events': () => ({}),
    'POST /tokens/introspect': async () => ({
      form: { token: (await world.tokens(world.web)).access_token },
    }),
    'POST /tokens/revoke': async () => ({ body: { token: (await world.tokens(world.web)).access_token } }),
    'GET /keys': () => ({}),
    'POST /keys/rotate': () => ({ body: { alg: 'ES256' } }),
    'POST /keys/{kid}/retire': async () => {
      const { body } = await admin.ok<{ kid: string }>('POST', '/keys/rotate', { body: { alg: 'RS256' } });
      return { path: `/keys/${body.kid}/retire` };
    },
    'GET /webhooks': () => ({}),
    'POST /webhooks': () => ({ body: { url: NOWHERE } }),
    'GET /webhooks/{webhook_id}': async () => ({ path: `/webhooks/${await webhook()}` }),
    'PATCH /webhooks/{webhook_id}': async () => ({
      path: `/webhooks/${await webhook()}`,
      body: { enabled: false },
    }),
    'DELETE /webhooks/{webhook_id}': async () => ({ path: `/webhooks/${await webhook()}` }),
    'POST /webhooks/{webhook_id}/test': async () => ({ path: `/webhooks/${await webhook()}/test` }),
    'GET /webhooks/{webhook_id}/messages': async () => ({ path: `/webhooks/${await webhook()}/messages` }),
    'POST /webhooks/{webhook_id}/messages/{message_id}/retry': async () => {
      const path = `/webhooks/${await webhook('user.created')}/messages`;
      await user();
      return { path: `${path}/${await first(path)}/retry` };
    },
  };

  it('is described by the OpenAPI document, and is tried here', () => {
    expect(Object.keys(cases).sort()).toEqual(
      operationsOf(admin.document)
        .map(({ name }) => name)
        .sort(),
    );
  });

  it.each(Object.keys(cases))('%s needs its own scope, and no other; a refusal is audited', async (name) => {
    const scope = operationsOf(admin.document).find((each) => each.name === name)?.scope ?? '';
    const [method = '', pattern = ''] = name.split(' ');
    const { path = pattern, ...options } = (await cases[name]?.()) ?? {};

    const others = await world.adminToken(SCOPES.filter((each) => each !== scope).join(' '));
    const refused = await admin.call(method, path, { ...options, token: others });
    expect(refused.status).toBe(403);
    expect(refused.headers.get('www-authenticate')).toBe(
      `Bearer error="insufficient_scope", scope="${scope}"`,
    );
    expect(refused.body).toMatchObject({ code: 'insufficient_scope', title: 'Forbidden' });
    const { body } = await admin.ok<Page>('GET', '/audit-events?type=admin.denied&limit=1');
    expect(body.data[0]).toMatchObject({
      request_id: refused.headers.get('x-request-id'),
      actor: 'client:admin',
      client_id: 'admin',
      ip: '127.0.0.1',
      detail: { reason: `needs the scope ${scope}`, method, path: `/admin/v1${pattern}` },
    });

    const done = await admin.call(method, path, { ...options, token: await world.adminToken(scope) });
    expect([200, 201, 204], done.text).toContain(done.status);
  });

  it('was answered with success, and so its answer was held against the document', () => {
    const missing = operationsOf(admin.document)
      .map(({ name }) => name)
      .filter((name) => ![200, 201, 204].some((status) => admin.covered.has(`${name} ${status}`)));
    expect(missing).toEqual([]);
  });
});
