import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startWorld, type World } from '../../support/fixtures.ts';
import { startTestServer } from '../../support/server.ts';
import { pass, stopTime } from '../support/time.ts';

describe('keys that a client publishes at its jwks_uri', () => {
  let world: World;
  let host: Server;
  let port: number;
  let answer: { status: number; body: string; location?: string };
  let hits = 0;
  const privateKeys: CryptoKey[] = [];
  const jwks: JWK[] = [];
  beforeAll(async () => {
    for (const kid of ['a', 'b']) {
      const pair = await generateKeyPair('ES256');
      privateKeys.push(pair.privateKey);
      jwks.push({ ...(await exportJWK(pair.publicKey)), kid, alg: 'ES256', use: 'sig' });
    }
    host = createServer((_request, response) => {
      hits += 1;
      response.writeHead(answer.status, {
        'content-type': 'application/json',
        ...(answer.location === undefined ? {} : { location: answer.location }),
      });
      response.end(answer.body);
    });
    await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
    ({ port } = host.address() as AddressInfo);
    world = await startWorld({ env: { PORTCULLIS_FETCH_ALLOW: `127.0.0.1:${port}` } });
    stopTime();
  });
  afterAll(async () => {
    vi.useRealTimers();
    host.closeAllConnections();
    host.close();
    await world.close();
  });

  const publish = (...keys: (JWK | undefined)[]): void => {
    answer = { status: 200, body: JSON.stringify({ keys }) };
  };
  const newClient = (id: string, path = '/jwks') =>
    world.client({
      client_id: id,
      token_endpoint_auth_method: 'private_key_jwt',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      jwks_uri: `http://127.0.0.1:${port}${path}`,
    });
  const authenticate = async (id: string, which = 0, issuer = world.url): Promise<number> => {
    const now = Math.floor(Date.now() / 1000);
    const kid = jwks[which]?.kid ?? '';
    const claims = { iss: id, sub: id, aud: issuer, jti: randomUUID(), exp: now + 60 };
    const assertion = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid })
      .sign(privateKeys[which] as CryptoKey);
    const response = await fetch(`${issuer}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      }),
    });
    return response.status;
  };

  it('are fetched once and kept; a key that is not among them is looked for again after a minute', async () => {
    await newClient('keeps');
    publish(jwks[0]);
    const before = hits;
    expect(await authenticate('keeps')).toBe(200);
    expect(await authenticate('keeps')).toBe(200);
    expect(hits).toBe(before + 1);
    publish(jwks[1]);
    expect(await authenticate('keeps', 1)).toBe(401);
    pass(61);
    expect(await authenticate('keeps', 1)).toBe(200);
    expect(await authenticate('keeps', 0)).toBe(401); // taken out
  });

  it.each([
    ['an error', { status: 500, body: '' }],
    ['no JSON', { status: 200, body: '<html>' }],
    ['no key set', { status: 200, body: '{"keys":7}' }],
    ['far too much', { status: 200, body: 'x'.repeat(100_000) }],
  ])('that cannot be had authenticate nobody: %s', async (name, bad) => {
    const id = `bad-${name.replaceAll(' ', '-')}`;
    await newClient(id);
    // What is too much would be right but for its length.
    answer =
      name === 'far too much'
        ? { status: 200, body: JSON.stringify({ keys: [jwks[0]], pad: bad.body }) }
        : bad;
    expect(await authenticate(id)).toBe(401);
    publish(jwks[0]);
    pass(61);
    expect(await authenticate(id)).toBe(200); // and it is forgotten in a minute
  });

  it('are not fetched from where an allowed address leads', async () => {
    await newClient('led-on');
    answer = { status: 302, body: '', location: `http://127.0.0.1:${port}/elsewhere` };
    const before = hits;
    expect(await authenticate('led-on')).toBe(401);
    expect(hits).toBe(before + 1);
  });

  it('are never fetched from a private address that no setting names', async () => {
    await newClient('inward');
    publish(jwks[0]);
    const strict = await startTestServer({ databaseUrl: world.databaseUrl, secretKeys: world.secretKeys });
    try {
      const before = hits;
      expect(await authenticate('inward', 0, strict.url)).toBe(401);
      expect(hits).toBe(before);
      expect(await authenticate('inward')).toBe(200);
    } finally {
      await strict.close();
    }
  });
});
