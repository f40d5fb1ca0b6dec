import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { AdminClient } from '../http/admin/support/admin-client.ts';
import { databaseKinds, freshDatabase, type FreshDatabase } from '../support/databases.ts';
import { ORDERS, startWorld, type TestClient, type World } from '../support/fixtures.ts';
import { basicAuth, startTestServer, type TestServer } from '../support/server.ts';
import { until } from './support/processes.ts';

const SECOND = 1_000;

describe.each(databaseKinds)('a second node on %s', (kind) => {
  let database: FreshDatabase;
  let first: World;
  let second: TestServer;
  let admin: AdminClient;
  beforeAll(async () => {
    database = await freshDatabase(kind);
    first = await startWorld({ databaseUrl: database.url });
    const { secretKeys } = first;
    second = await startTestServer({
      databaseUrl: database.url,
      secretKeys,
      env: { PORTCULLIS_ISSUER: first.url },
    });
    admin = await AdminClient.connect(first);
  });
  afterAll(async () => {
    await second.close();
    await first.close();
    await database.drop();
  });
  /** The answer of the second node to a client that asks for a token of its own. */
  const asks = async ({ id, secret = '' }: TestClient, resource = ORDERS): Promise<number> => {
    const response = await fetch(`${second.url}/token`, {
      method: 'POST',
      headers: { authorization: basicAuth(id, secret) },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource }),
    });
    return response.status;
  };
  const soon = (client: TestClient, status: number, resource?: string): Promise<void> =>
    until(`${status}`, async () => (await asks(client, resource)) === status, SECOND);

  it('refuses within a second a client that the first one disabled, and takes it again', async () => {
    expect(await asks(first.machine)).toBe(200);
    await admin.ok('POST', '/clients/machine/disable');
    await soon(first.machine, 401);
    await admin.ok('POST', '/clients/machine/enable');
    await soon(first.machine, 200);
  });

  it('refuses within a second a secret that the first one revoked', async () => {
    const { body } = await admin.ok<{ client_secret: string; id: string }>(
      'POST',
      '/clients/machine/secrets',
    );
    const client = { ...first.machine, secret: body.client_secret };
    await soon(client, 200);
    await admin.ok('DELETE', `/clients/machine/secrets/${body.id}`);
    await soon(client, 401);
    expect(await asks(first.machine)).toBe(200);
  });

  it('knows within a second a client and an API that it had looked for in vain', async () => {
    const client = { id: 'late', secret: 'guess', redirect: '' };
    expect(await asks(client)).toBe(401);
    const identifier = 'https://late.example/api';
    expect(await asks(first.machine, identifier)).toBe(400);
    const made = await first.client({
      client_id: 'late',
      redirect_uris: [],
      grant_types: ['client_credentials'],
      scope: 'orders:read',
    });
    await soon(made, 200);
    await admin.ok('POST', '/apis', { body: { identifier, name: 'Late' } });
    await soon(made, 200, identifier);
  });

  it('signs, publishes and verifies with new keys within the poll, without a restart', async () => {
    const { body } = await admin.ok<{ kid: string }>('POST', '/keys/rotate', {
      body: { alg: 'ES256', immediate: true },
    });
    const shows = async (): Promise<boolean> =>
      (await (await fetch(`${second.url}/jwks`)).text()).includes(body.kid);
    await until('published', shows, SECOND);
    admin = await AdminClient.connect(first);
    expect((await second.app.health.checks())['signing_keys']).toBe(true);
    const answer = await fetch(`${second.url}/admin/v1/keys`, {
      headers: { authorization: `Bearer ${await first.adminToken()}` },
    });
    expect(answer.status).toBe(200);
  });

  it.runIf(kind === 'postgresql')('goes on when its listening connection was killed', async () => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const killed = await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'portcullis notifications'`,
    );
    expect(killed.rowCount).toBe(2);
    await admin.ok('POST', '/clients/machine/disable');
    await soon(first.machine, 401);
    const listening = async (): Promise<boolean> => {
      const { rowCount } = await client.query(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = 'portcullis notifications'`,
      );
      return rowCount === 2;
    };
    await until('listening again', listening);
    await client.end();
  });
});
