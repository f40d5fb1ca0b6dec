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
  let answer: { status: number; body: string; location?: string; maxAge?: number };
  let hits = 0;
  const privateKeys: CryptoKey[] = [];
  const jwks: JWK[] = [];
  beforeAll(async () => {
    for (const kid of ['a', 'b', 'never published']) {
      const pair = await generateKeyPair('ES256');
      privateKeys.push(pair.privateKey);
      jwks.push({ ...(await exportJWK(pair.publicKey)), kid, alg: 'ES256', use: 'sig' });
    }
    host = createServer((_request, response) => {
      hits += 1;
      response.writeHead(answer.status, {
        'content-type': 'application/json',
        ...(answer.location === undefined ? {} : { location: answer.location }),
        ...(answer.maxAge === undefined ? {} : { 'cache-control': `max-age=${answer.maxAge}` }),
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

  it('are fetched once and kept; a key that is not among them is looked for at once', async () => {
    await newClient('keeps');
    publish(jwks[0]);
    const before = hits;
    expect(await authenticate('keeps')).toBe(200);
    expect(await authenticate('keeps')).toBe(200);
    expect(hits).toBe(before + 1);
    publish(jwks[0], jwks[1]);
    // No request fails while keys roll, however many come with the new one first.
    const both = await Promise.all([1, 0, 1, 1].map((which) => authenticate('keeps', which)));
    expect(both).toEqual([200, 200, 200, 200]);
    expect(hits).toBe(before + 2);
    publish(jwks[1]);
    pass(61);
    expect(await authenticate('keeps', 2)).toBe(401); // unknown: they are fetched anew
    expect(await authenticate('keeps', 0)).toBe(401); // taken out
    expect(await authenticate('keeps', 1)).toBe(200);
  });

  it('are looked at anew whatever the answer says of caching', async () => {
    await newClient('cached');
    publish(jwks[0]);
    answer = { ...answer, maxAge: 86_400 };
    expect(await authenticate('cached')).toBe(200);
    publish(jwks[1]);
    expect(await authenticate('cached', 1)).toBe(200);
  });

  it.each([
    ['succeed', 200],
    ['fail', 500],
  ])('are not fetched for each key id that somebody makes up, when fetches %s', async (name, status) => {
    const id = `flooded-${name}`;
    await newClient(id);
    publish(jwks[0]);
    expect(await authenticate(id)).toBe(200);
    answer = { ...answer, status };
    const before = hits;
    for (let sent = 0; sent < 10; sent++) expect(await authenticate(id, 2)).toBe(401);
    expect(hits - before).toBeLessThanOrEqual(5);
    const flooded = hits;
    pass(5);
    for (let sent = 0; sent < 3; sent++) expect(await authenticate(id, 2)).toBe(401);
    expect(hits).toBe(flooded + 1);
    expect(await authenticate(id)).toBe(200); // whose key is known notices nothing
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
