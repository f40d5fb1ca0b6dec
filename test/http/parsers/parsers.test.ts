import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from '../../support/fixtures.ts';
import { basicAuth } from '../../support/server.ts';

const ENDPOINTS = ['/token', '/revoke', '/introspect', '/par'];
const FORM = 'application/x-www-form-urlencoded';

describe('what the endpoints read', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(() => world.close());

  const send = async (
    path: string,
    body: string | Buffer,
    type: string = FORM,
    headers: Record<string, string> = {},
  ) => {
    const response = await fetch(world.url + path, {
      method: 'POST',
      body,
      headers: {
        authorization: basicAuth('machine', world.machine.secret ?? ''),
        'content-type': type,
        ...headers,
      },
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: parse(text) };
  };
  const parse = (text: string): { error?: string; access_token?: string; active?: boolean } => {
    try {
      return JSON.parse(text) as { error?: string };
    } catch {
      return {};
    }
  };
  const GOOD = 'grant_type=client_credentials&token=x';
  const isRefused = ({ status, body, headers }: Awaited<ReturnType<typeof send>>): void => {
    expect(status).toBe(400);
    expect(body.error).toBe('invalid_request');
    expect(headers.get('content-type')).toMatch(/^application\/json/);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-request-id')).toBeTruthy();
  };

  describe.each(ENDPOINTS)('at %s', (path) => {
    it.each([
      ['JSON', 'application/json', JSON.stringify({ grant_type: 'client_credentials', token: 'x' })],
      ['multipart', 'multipart/form-data; boundary=x', '--x\r\n\r\n--x--'],
      ['plain text', 'text/plain', GOOD],
      ['another type of form', 'application/x-www-form-urlencoded-not', GOOD],
      ['a type that is nonsense', ';;;', GOOD],
    ])('are not %s', async (_name, type, body) => {
      isRefused(await send(path, body, type));
    });

    it.each([
      ['what is no UTF-8', 'grant_type=%FF&token=%FF'],
      ['a NUL', 'grant_type=client_credentials%00&token=x'],
      ['a NUL in a name', 'grant_type=client_credentials&token=x&a%00b=c'],
      ['bad percent-encoding', 'grant_type=%ZZ&token=%ZZ'],
      ['half a percent sign', 'grant_type=client_credentials&token=x&scope=x%'],
      ['a lone surrogate', 'grant_type=client_credentials&token=x&scope=%ED%A0%80'],
      ['raw bytes that are no UTF-8', Buffer.from([0x61, 0x3d, 0xff, 0xfe])],
      ['ten thousand parameters', `${GOOD}${'&a=b'.repeat(10_000)}`],
    ])('holds no %s', async (_name, body) => {
      isRefused(await send(path, body));
    });

    it('is in UTF-8 and in no other charset', async () => {
      isRefused(await send(path, GOOD, `${FORM}; charset=utf-16`));
      isRefused(await send(path, GOOD, `${FORM}; charset=iso-8859-1`));
      isRefused(await send(path, GOOD, `${FORM}; charset="`));
      isRefused(await send(path, GOOD, `${FORM}; charset`));
      expect((await send(path, GOOD, `${FORM}; charset=UTF-8`)).status).toBeLessThan(500);
    });

    it('is at most 64 KiB', async () => {
      const { status, headers, body } = await send(path, `${GOOD}&pad=${'x'.repeat(70 * 1024)}`);
      expect(status).toBe(413);
      expect(body.error).toBeTruthy();
      expect(headers.get('connection')).toBe('close');
    });

    it('comes by POST', async () => {
      for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'HEAD']) {
        const response = await fetch(world.url + path, { method });
        expect(response.status).toBe(405);
        expect(response.headers.get('allow')).toContain('POST');
      }
    });

    it('is answered in JSON, whatever the caller would rather have', async () => {
      const answer = await send(path, 'grant_type=%FF', FORM, { accept: 'text/html' });
      isRefused(answer);
      const wrong = await send(path, GOOD, FORM, {
        accept: 'text/html,application/xhtml+xml',
        authorization: basicAuth('machine', 'wrong'),
      });
      expect(wrong.status).toBe(401);
      expect(wrong.body.error).toBe('invalid_client');
    });

    it('is refused when a parameter comes twice', async () => {
      const twice =
        path === '/token' ? 'grant_type=client_credentials&grant_type=client_credentials' : 'token=x&token=y';
      const doubled = path === '/par' ? 'scope=openid&scope=openid&response_type=code' : twice;
      isRefused(await send(path, doubled));
    });
  });

  it('a scope that comes twice is refused, an unknown parameter that does is ignored', async () => {
    isRefused(await send('/token', 'grant_type=client_credentials&scope=orders:read&scope=orders:read'));
    expect((await send('/token', 'grant_type=client_credentials&foo=1&foo=2')).status).toBe(200);
  });

  it('client credentials that come twice are refused', async () => {
    const response = await fetch(`${world.url}/token`, {
      method: 'POST',
      body: `grant_type=client_credentials&client_id=machine&client_id=machine&client_secret=x`,
      headers: { 'content-type': FORM },
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: 'invalid_request' });
  });

  it('names of the language are names like any other', async () => {
    const answer = await send(
      '/token',
      'grant_type=client_credentials&__proto__=x&constructor=y&__proto__[scope]=orders:write&toString=z',
    );
    expect(answer.status).toBe(200);
    expect(({} as { scope?: string }).scope).toBeUndefined();
    isRefused(await send('/token', '__proto__=client_credentials'));
  });

  it('a body that never ends is cut off, and nothing is kept of it', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const { port } = new URL(world.url);
      const socket = connect(Number(port), '127.0.0.1');
      let received = '';
      socket.on('data', (chunk) => (received += chunk.toString()));
      socket.on('error', () => resolve(received));
      socket.on('close', () => resolve(received));
      socket.setTimeout(20_000, () => reject(new Error(`still open after: ${received}`)));
      socket.write(
        `POST /token HTTP/1.1\r\nhost: x\r\ncontent-type: ${FORM}\r\ntransfer-encoding: chunked\r\n\r\n`,
      );
      const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
      const more = (): void => {
        while (!socket.destroyed && socket.write(chunk));
        if (!socket.destroyed) socket.once('drain', more);
      };
      more();
    });
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('/userinfo by POST reads its token from the form, and from nothing else', async () => {
    const response = await fetch(`${world.url}/userinfo`, {
      method: 'POST',
      body: JSON.stringify({ access_token: 'x' }),
      headers: { 'content-type': 'application/json' },
    });
    expect(response.status).toBe(400);
  });

  it.each(['/nothing', '/token/', '/TOKEN', '/authorize/../token', '/.well-known/nothing', '//token'])(
    'there is nothing at %s',
    async (path) => {
      const { port } = new URL(world.url);
      const status = await new Promise<string>((resolve) => {
        const socket = connect(Number(port), '127.0.0.1', () =>
          socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`),
        );
        socket.on('data', (chunk) => resolve(chunk.toString().slice(9, 12)));
      });
      expect(status).toBe('404');
    },
  );
});
