import { connect } from 'node:net';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from '../../support/fixtures.ts';

describe('what strangers send', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(() => world.close());

  /** Sends bytes as they are, and gives back all that is answered. */
  const raw = (bytes: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const { port, hostname } = new URL(world.url);
      const socket = connect(Number(port), hostname, () => socket.end(bytes));
      let answer = '';
      socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
      socket.on('end', () => resolve(answer)).on('error', reject);
    });

  it.each(['http://[::1', '*', 'http://%', '//[', '/%00', '/\\'])(
    'a request target %s is refused with an id, never a 5xx',
    async (target) => {
      const answer = await raw(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d/);
      expect(answer).toMatch(/x-request-id: \S+/i);
    },
  );

  it.each(['nonsense\r\n\r\n', `GET /${'x'.repeat(40_000)} HTTP/1.1\r\nhost: x\r\n\r\n`])(
    'what is no request at all is answered with an id too',
    async (bytes) => {
      const answer = await raw(bytes);
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d/);
      expect(answer).toMatch(/x-request-id: \S+/i);
    },
  );

  it('two Host lines are refused, even when they agree (RFC 9112, 3.2)', async () => {
    for (const second of ['Host: x', 'hOST: y', 'host:'])
      expect(await raw(`GET /jwks HTTP/1.1\r\nHost: x\r\n${second}\r\nconnection: close\r\n\r\n`)).toMatch(
        /^HTTP\/1\.1 400/,
      );
    expect(await raw('GET /jwks HTTP/1.1\r\nX-Host: a\r\nHost: x\r\nconnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 200/,
    );
  });

  it('a body that is not sent to its end is no fault of the server’s', async () => {
    await raw('POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\ngrant_type=');
    expect(world.log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  });

  it('a compressed body is refused with 415 (RFC 9110, 15.5.16)', async () => {
    await request(world.app.koa.callback())
      .post('/token')
      .set('content-type', 'application/x-www-form-urlencoded')
      .set('content-encoding', 'gzip')
      .send('grant_type=client_credentials')
      .expect(415);
  });

  it.each(['/token', '/revoke', '/par', '/introspect'])(
    'missing client authentication at %s is invalid_client (RFC 6749, 5.2)',
    async (path) => {
      const answer = await world.post(path, { grant_type: 'client_credentials', token: 'x' });
      expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_client' } });
    },
  );

  it('an Authorization header that cannot be read is 401 with WWW-Authenticate', async () => {
    const form = { grant_type: 'client_credentials' };
    const answer = await world.post('/token', form, undefined, { authorization: 'Basic !!!' });
    expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_client' } });
    expect(answer.headers.get('www-authenticate')).toMatch(/^Basic realm=/);
  });

  it('somebody else than id_token_hint or a requested sub names gets no code (OIDC Core 3.1.2.1, 5.5.1)', async () => {
    await world.user('bob');
    const bob = await world.tokens(world.web, { username: 'bob' });
    const claims = JSON.stringify({ id_token: { sub: { value: 'somebody-else' } } });
    for (const params of [{ id_token_hint: bob.id_token }, { claims }]) {
      const { result, code } = await world.authorize(world.web, { params });
      expect(code).toBe('');
      expect(result.get('error')).toBe('login_required');
    }
    const again = await world.authorize(world.web, {
      params: { id_token_hint: bob.id_token },
      username: 'bob',
    });
    expect(again.code).not.toBe('');
  });
});
