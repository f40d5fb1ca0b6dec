/** What is no token is a token that is not alive (RFC 7662, 2.2; RFC 7009, 2.2), whatever bytes it has. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type World } from '../../support/fixtures.ts';
import { basicAuth } from '../../support/server.ts';
import { AdminClient } from '../admin/support/admin-client.ts';

describe.each(databaseKinds)('a malformed token on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const send = async (path: string, body: string, authorization: string) => {
    const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' };
    const response = await fetch(world.url + path, { method: 'POST', headers, body });
    return { status: response.status, body: response.status === 204 ? {} : await response.json() };
  };
  const encodings = ['%00', '%FF', '%ED%A0%80', '%ZZ', '%', 'a%00.b.c', '%F4%90%80%80'];
  const values = encodings.flatMap((each) => ['', 'pcr_', 'pca_'].map((prefix) => prefix + each));

  it.each(values)('%s is not active, and revoking it is nothing', async (value) => {
    const basic = basicAuth('gateway', world.gateway.secret ?? '');
    for (const hint of ['', '&token_type_hint=refresh_token', '&token_type_hint=access_token']) {
      const body = `token=${value}${hint}`;
      expect(await send('/introspect', body, basic)).toEqual({ status: 200, body: { active: false } });
      expect(await send('/revoke', body, basic)).toEqual({ status: 200, body: {} });
    }
    const bearer = `Bearer ${await world.adminToken()}`;
    const unknown = { active: false, inactive_reason: 'unknown' };
    const body = `token=${value}`;
    expect(await send('/admin/v1/tokens/introspect', body, bearer)).toEqual({ status: 200, body: unknown });
    expect((await send('/admin/v1/tokens/revoke', body, bearer)).status).toBe(204);
  });

  it.each(['\0', '\uD800', 'pca_\0', 'pcr_\0', 'a.\0.c'])('%j is unknown in JSON too', async (token) => {
    const { body } = await admin.ok('POST', '/tokens/introspect', { body: { token } });
    expect(body).toEqual({ active: false, inactive_reason: 'unknown' });
    expect((await admin.call('POST', '/tokens/revoke', { body: { token } })).status).toBe(204);
  });

  it.each(['/clients', '/users', '/apis', '/webhooks'])(
    'nor is there anything at such an id: %s',
    async (path) => {
      for (const id of ['%00', 'a%00b', '%FF', '%ED%A0%80', '%ZZ', '%'])
        expect((await admin.call('GET', `${path}/${id}`)).status, id).toBe(404);
    },
  );
});
