import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type World } from '../../support/fixtures.ts';
import { AdminClient, type Doc } from './support/admin-client.ts';

const KEY = {
  kty: 'OKP',
  crv: 'Ed25519',
  x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
};

describe.each(databaseKinds)('control characters on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    admin = await AdminClient.connect(world);
  });
  afterAll(() => world.close());

  const client = { redirect_uris: ['https://a.example/cb'] };
  const cases: readonly [path: string, pointer: string, document: (bad: string) => Doc][] = [
    ['/webhooks', '/url', (bad) => ({ url: `https://hooks.example/${bad}` })],
    [
      '/users',
      '/claims/picture',
      (bad) => ({ username: 'u', claims: { picture: `https://p.example/${bad}` } }),
    ],
    ['/clients', '/client_uri', (bad) => ({ ...client, client_uri: `https://p.example/${bad}` })],
    ['/clients', '/jwks_uri', (bad) => ({ ...client, jwks_uri: `https://p.example/${bad}` })],
    [
      '/clients',
      '/initiate_login_uri',
      (bad) => ({ ...client, initiate_login_uri: `https://p.example/${bad}` }),
    ],
    ['/clients', '/redirect_uris/0', (bad) => ({ redirect_uris: [`https://p.example/${bad}`] })],
    [
      '/clients',
      '/allowed_origins/0',
      (bad) => ({ ...client, allowed_origins: [`https://p.example${bad}`] }),
    ],
  ];
  it.each(cases)('are refused in every URL: %s %s', async (path, pointer, document) => {
    for (const bad of ['\0', '\u001f', '\u007f', '\u0085', '\ud800', '\n']) {
      const { status, body } = await admin.call('POST', path, { body: document(bad) });
      expect([status, body]).toEqual([
        422,
        expect.objectContaining({ errors: expect.arrayContaining([expect.objectContaining({ pointer })]) }),
      ]);
    }
  });

  it('that PostgreSQL reads in no JSON are refused in keys', async () => {
    for (const bad of ['\0', '\ud800']) {
      const jwks = { keys: [{ ...KEY, kid: `a${bad}` }] };
      const method = { token_endpoint_auth_method: 'private_key_jwt', grant_types: ['client_credentials'] };
      expect((await admin.call('POST', '/clients', { body: { ...method, jwks } })).status).toBe(422);
    }
    expect((await admin.call('POST', '/keys/rotate', { body: { alg: 'ES256' } })).status).toBe(201);
  });
});
