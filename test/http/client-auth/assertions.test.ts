import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type CryptoKey, type JWTPayload } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type World } from '../../support/fixtures.ts';

const ALGS = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;
type Alg = (typeof ALGS)[number];

describe.each(databaseKinds)('client authentication by private_key_jwt on %s', (kind) => {
  let world: World;
  const keys = new Map<string, CryptoKey>();
  beforeAll(async () => {
    world = await startWorld({ kind });
    for (const alg of [...ALGS, 'other'] as const) {
      const { privateKey, publicKey } = await generateKeyPair(alg === 'other' ? 'ES256' : alg);
      keys.set(alg, privateKey);
      await world.client({
        client_id: `jwt-${alg}`,
        token_endpoint_auth_method: 'private_key_jwt',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        scope: 'orders:read',
        jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: alg, use: 'sig' }] },
      });
    }
  });
  afterAll(() => world.close());

  const now = (): number => Math.floor(Date.now() / 1000);
  const claims = (id: string, more: Record<string, unknown> = {}): JWTPayload => ({
    iss: id,
    sub: id,
    aud: world.url,
    jti: randomUUID(),
    iat: now(),
    exp: now() + 60,
    ...more,
  });
  const sign = (
    payload: JWTPayload,
    alg: Alg = 'ES256',
    key: string = alg,
    kid: string = key,
  ): Promise<string> =>
    new SignJWT(payload).setProtectedHeader({ alg, kid }).sign(keys.get(key) as CryptoKey);
  const send = (assertion: string, more: Record<string, string> = {}, path = '/token') =>
    world.post<{ error?: string; error_description?: string }>(path, {
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
      ...more,
    });

  it.each(ALGS)('takes %s', async (alg) => {
    expect((await send(await sign(claims(`jwt-${alg}`), alg))).status).toBe(200);
  });

  it.each(['', '/token', '/revoke', '/introspect'])(
    'takes the audience ISSUER%s at that endpoint',
    async (path) => {
      const used = path === '' ? '/token' : path;
      const answer = await send(
        await sign(claims('jwt-ES256', { aud: world.url + path })),
        { token: 'x' },
        used,
      );
      expect(answer.status).toBe(200);
    },
  );

  it('takes the token endpoint’s name everywhere, and a list of right audiences', async () => {
    for (const aud of [`${world.url}/token`, [world.url, `${world.url}/introspect`]]) {
      expect(
        (await send(await sign(claims('jwt-ES256', { aud })), { token: 'x' }, '/introspect')).status,
      ).toBe(200);
    }
  });

  it('tolerates a clock that is a minute off, and not more', async () => {
    expect((await send(await sign(claims('jwt-ES256', { exp: now() - 50 })))).status).toBe(200);
    expect((await send(await sign(claims('jwt-ES256', { nbf: now() + 50 })))).status).toBe(200);
    for (const more of [{ exp: now() - 70 }, { nbf: now() + 70 }, { iat: now() + 70 }]) {
      expect((await send(await sign(claims('jwt-ES256', more)))).status).toBe(401);
    }
  });

  const refused = async (assertion: string, more?: Record<string, string>): Promise<void> => {
    const answer = await send(assertion, more);
    expect(answer.status).toBe(401);
    expect(answer.body).toEqual({
      error: 'invalid_client',
      error_description: 'client authentication failed',
    });
    expect(answer.headers.get('www-authenticate')).toBeNull();
  };

  it.each<[string, () => Record<string, unknown>]>([
    ['another audience', () => ({ aud: 'https://other.example' })],
    ['another audience beside the right one', () => ({ aud: [world.url, 'https://other.example'] })],
    ['an empty list of audiences', () => ({ aud: [] })],
    ['an endpoint that is not called', () => ({ aud: `${world.url}/par` })],
    ['no audience', () => ({ aud: undefined })],
    ['a trailing slash', () => ({ aud: `${world.url}/` })],
    ['no expiry', () => ({ exp: undefined })],
    ['an expiry that is no number', () => ({ exp: 'tomorrow' })],
    ['an expiry centuries ahead', () => ({ exp: 1e12 })],
    ['an expiry beyond every number', () => ({ exp: Number.MAX_VALUE })],
    ['no jti', () => ({ jti: undefined })],
    ['a jti that is no string', () => ({ jti: { a: 1 } })],
    ['another issuer', () => ({ iss: 'jwt-RS256' })],
    ['no issuer', () => ({ iss: undefined })],
    ['another subject', () => ({ sub: 'jwt-RS256' })],
    ['an unknown subject', () => ({ sub: 'nobody' })],
    ['no subject', () => ({ sub: undefined })],
    ['a subject that is no string', () => ({ sub: { toString: 'x' } })],
  ])('refuses an assertion with %s', async (_name, change) => {
    await refused(await sign(claims('jwt-ES256', change())));
  });

  it('refuses an assertion that was used before, also when both come at once', async () => {
    const assertion = await sign(claims('jwt-ES256'));
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(assertion)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(19);
    await refused(assertion);
    // The jti is each client's own.
    const jti = 'shared-jti';
    expect((await send(await sign(claims('jwt-ES256', { jti })))).status).toBe(200);
    expect((await send(await sign(claims('jwt-RS256', { jti }), 'RS256'))).status).toBe(200);
  });

  it('refuses a signature by another client’s key, whatever key it names', async () => {
    await refused(await sign(claims('jwt-ES256'), 'ES256', 'other'));
    await refused(await sign(claims('jwt-ES256'), 'ES256', 'other', 'ES256'));
  });

  it('refuses a changed payload', async () => {
    const [head, , signature] = (await sign(claims('jwt-ES256'))).split('.');
    const payload = Buffer.from(JSON.stringify(claims('jwt-ES256'))).toString('base64url');
    await refused(`${head ?? ''}.${payload}.${signature ?? ''}`);
  });

  it('refuses alg none and HMAC, with the public key as the secret too', async () => {
    await refused(new UnsecuredJWT(claims('jwt-ES256')).encode());
    const mac = await new SignJWT(claims('jwt-ES256'))
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from('x'.repeat(32)));
    await refused(mac);
  });

  it('holds a client to the algorithm that it registered', async () => {
    const { privateKey, publicKey } = await generateKeyPair('RS256');
    keys.set('pinned', privateKey);
    await world.client({
      client_id: 'pinned',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'RS256',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'pinned' }] },
    });
    expect((await send(await sign(claims('pinned'), 'RS256', 'pinned'))).status).toBe(200);
  });

  it('refuses an assertion from a client that has a secret, and a secret from one that has a key', async () => {
    await refused(await sign(claims('machine'), 'ES256', 'other'));
    const secret = { ...world.machine, id: 'jwt-ES256' };
    expect((await world.post('/token', { grant_type: 'client_credentials' }, secret)).status).toBe(401);
    expect(
      (await world.post('/token', { grant_type: 'client_credentials', client_id: 'jwt-ES256' })).status,
    ).toBe(401);
  });

  it('wants its type named', async () => {
    const assertion = await sign(claims('jwt-ES256'));
    for (const type of ['', 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer']) {
      expect(await send(assertion, { client_assertion_type: type })).toMatchObject({
        status: 400,
        body: { error: 'invalid_request' },
      });
    }
  });

  it.each(['a.b.c', 'nonsense', '...', 'e30.e30.', 'x'.repeat(20_000)])(
    'answers 4xx to what is no assertion: %.10s',
    async (assertion) => {
      expect([400, 401]).toContain((await send(assertion)).status);
    },
  );
});
