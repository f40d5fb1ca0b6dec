import {
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeProtectedHeader,
  jwtVerify,
  type JSONWebKeySet,
} from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { ORDERS, startWorld, type TestClient, type World } from '../../support/fixtures.ts';

const JWT = 'application/token-introspection+jwt';

describe.each(databaseKinds)('signed introspection answers (RFC 9701) on %s', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
  });
  afterAll(() => world.close());

  const ask = (token: string, accept: string, client: TestClient = world.gateway) =>
    world.post<string>('/introspect', { token }, client, { accept });

  const verify = async (jwt: unknown, audience = world.gateway.id) => {
    expect(jwt).toEqual(expect.any(String));
    const keys = createLocalJWKSet((await (await fetch(`${world.url}/jwks`)).json()) as JSONWebKeySet);
    const { payload } = await jwtVerify(jwt as string, keys, {
      issuer: world.url,
      audience,
      typ: 'token-introspection+jwt',
    });
    return payload;
  };

  it('a caller that asks gets a JWT for itself, with all that the JSON has', async () => {
    const { access_token: token } = await world.tokens(world.web);
    const answer = await ask(token, JWT);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe(JWT);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const payload = await verify(answer.body);
    expect(payload).toEqual({
      iss: world.url,
      aud: 'gateway',
      iat: expect.any(Number),
      token_introspection: await world.introspect(token),
    });
    expect(payload['token_introspection']).toMatchObject({ active: true, aud: ORDERS, client_id: 'web' });
  });

  it('an answer cannot be taken for an access token: no sub, no exp, a type of its own', async () => {
    const { access_token: token } = await world.tokens(world.web);
    const { body } = await ask(token, JWT);
    const payload = await verify(body);
    expect(payload).not.toHaveProperty('sub');
    expect(payload).not.toHaveProperty('exp');
    expect((await world.userinfo(body)).status).toBe(401);
    expect(await world.introspect(body)).toEqual({ active: false });
  });

  it('what is not alive, not theirs or not a token is signed as inactive, and says no more', async () => {
    const { access_token: token } = await world.tokens(world.web);
    await world.post('/revoke', { token }, world.web);
    for (const value of [token, 'nonsense', 'a.b.c']) {
      const payload = await verify((await ask(value, JWT)).body);
      expect(payload['token_introspection']).toEqual({ active: false });
    }
    const { access_token: alive } = await world.tokens(world.web);
    const foreign = await verify((await ask(alive, JWT, world.machine)).body, world.machine.id);
    expect(foreign['token_introspection']).toEqual({ active: false });
  });

  it("a client's own token names the client as its subject, signed as in JSON", async () => {
    const { body } = await world.post<{ access_token: string }>(
      '/token',
      { grant_type: 'client_credentials', scope: 'orders:read' },
      world.machine,
    );
    const payload = await verify((await ask(body.access_token, JWT)).body);
    expect(payload['token_introspection']).toMatchObject({ active: true, sub: world.machine.id });
  });

  it('whoever does not prefer it gets JSON', async () => {
    const { access_token: token } = await world.tokens(world.web);
    for (const accept of ['application/json', '*/*', `application/json, ${JWT};q=0.5`, 'text/html']) {
      const answer = await ask(token, accept);
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
      expect(answer.body).toMatchObject({ active: true });
    }
    const preferred = await ask(token, `application/json;q=0.5, ${JWT}`);
    expect(preferred.headers.get('content-type')).toBe(JWT);
  });

  it('refusals stay JSON', async () => {
    const stranger = { ...world.gateway, secret: 'wrong' };
    const answer = await ask('x', JWT, stranger);
    expect(answer.status).toBe(401);
    expect(answer.body).toMatchObject({ error: 'invalid_client' });
    const empty = await world.post('/introspect', {}, world.gateway, { accept: JWT });
    expect(empty.status).toBe(400);
    expect(empty.body).toMatchObject({ error: 'invalid_request' });
  });

  it('RS256 unless the client registered another; discovery lists what there is', async () => {
    const gateway = await world.client({
      client_id: 'es-gateway',
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'client_secret_basic',
      serves: [ORDERS],
      introspection_signed_response_alg: 'ES256',
    });
    const { access_token: token } = await world.tokens(world.web);
    const { body } = await ask(token, JWT, gateway);
    expect(decodeProtectedHeader(body)).toMatchObject({ alg: 'ES256', typ: 'token-introspection+jwt' });
    await jwtVerify(body, createRemoteJWKSet(new URL(`${world.url}/jwks`)), { audience: 'es-gateway' });
    expect(decodeProtectedHeader((await ask(token, JWT)).body).alg).toBe('RS256');
    const metadata = (await (
      await fetch(`${world.url}/.well-known/oauth-authorization-server`)
    ).json()) as Record<string, unknown>;
    expect(metadata).toMatchObject({
      introspection_signing_alg_values_supported: ['RS256', 'ES256'],
      introspection_endpoint_auth_methods_supported: [
        'client_secret_basic',
        'client_secret_post',
        'private_key_jwt',
      ],
      revocation_endpoint_auth_methods_supported: expect.arrayContaining(['none', 'private_key_jwt']),
    });
  });
});
