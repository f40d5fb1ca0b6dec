import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from '../../support/fixtures.ts';
import { basicAuth } from '../../support/server.ts';

interface Refusal {
  readonly status: number;
  readonly body: { readonly error?: string; readonly error_description?: string };
  readonly headers: Headers;
}

describe('client authentication by secret', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(() => world.close());

  const GRANT = { grant_type: 'client_credentials' };
  const send = async (
    form: Record<string, string>,
    authorization?: string,
    path = '/token',
  ): Promise<Refusal> => {
    const response = await fetch(world.url + path, {
      method: 'POST',
      body: new URLSearchParams(form),
      headers: authorization === undefined ? {} : { authorization },
    });
    return {
      status: response.status,
      body: (await response.json()) as Refusal['body'],
      headers: response.headers,
    };
  };
  const secret = () => world.machine.secret ?? '';

  it('works by Basic and in the body', async () => {
    expect((await send(GRANT, basicAuth('machine', secret()))).status).toBe(200);
    expect((await send({ ...GRANT, client_id: 'machine', client_secret: secret() })).status).toBe(200);
    expect((await send(GRANT, basicAuth('machine', secret()).replace('Basic', 'bAsIc'))).status).toBe(200);
  });

  it('names one realm, the issuer, in every challenge, whatever is wrong', async () => {
    const challenges = await Promise.all([
      send(GRANT, basicAuth('machine', 'wrong')),
      send(GRANT, 'Basic !'),
      send({ token: 'x' }, basicAuth('machine', 'wrong'), '/introspect'),
      send({ token: 'x' }, undefined, '/introspect'),
      send({ token: 'x' }, 'Basic !', '/revoke'),
    ]);
    for (const { status, headers } of challenges) {
      expect(status).toBe(401);
      expect(headers.get('www-authenticate')).toMatch(new RegExp(`^Basic realm="${world.url}"(,|$)`));
    }
  });

  it('decodes what Basic percent-encodes (RFC 6749, 2.3.1)', async () => {
    const encode = (text: string): string =>
      [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
    const header = `Basic ${btoa(`${encode('machine')}:${encode(secret())}`)}`;
    expect((await send(GRANT, header)).status).toBe(200);
  });

  it('answers the same to a wrong secret, an unknown client, a disabled one, and one that has no secret', async () => {
    await world.client({
      client_id: 'asleep',
      enabled: false,
      grant_types: ['client_credentials'],
      redirect_uris: [],
    });
    const answers = await Promise.all(
      ['machine', 'nobody', 'asleep', 'spa'].map((id) => send(GRANT, basicAuth(id, 'wrong'))),
    );
    const [first] = answers;
    expect(first?.status).toBe(401);
    expect(first?.body).toEqual({
      error: 'invalid_client',
      error_description: 'client authentication failed',
    });
    for (const answer of answers) {
      expect(answer.status).toBe(401);
      expect(answer.body).toEqual(first?.body);
      expect(answer.headers.get('www-authenticate')).toBe(first?.headers.get('www-authenticate'));
      expect(answer.headers.get('cache-control')).toBe('no-store');
    }
  });

  it('challenges only who used the Authorization header', async () => {
    const basic = await send(GRANT, basicAuth('machine', 'wrong'));
    expect(basic.headers.get('www-authenticate')).toMatch(/^Basic realm="/);
    for (const form of [
      { ...GRANT, client_id: 'machine', client_secret: 'wrong' },
      { ...GRANT, client_id: 'nobody', client_secret: 'wrong' },
      { ...GRANT, client_id: 'machine' },
    ]) {
      const answer = await send(form);
      expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_client' } });
      expect(answer.headers.get('www-authenticate')).toBeNull();
    }
  });

  it('refuses two methods at once', async () => {
    for (const more of [{ client_secret: secret() }, { client_assertion: 'a.b.c' }]) {
      const answer = await send({ ...GRANT, client_id: 'machine', ...more }, basicAuth('machine', secret()));
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    }
    const both = { ...GRANT, client_id: 'machine', client_secret: secret(), client_assertion: 'a.b.c' };
    expect(await send(both)).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
  });

  it('refuses a client_id that is not the authenticated one’s', async () => {
    const answer = await send({ ...GRANT, client_id: 'gateway' }, basicAuth('machine', secret()));
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
  });

  it.each(['/token', '/revoke', '/introspect', '/par'])(
    'refuses credentials in the URL of %s',
    async (path) => {
      const query = new URLSearchParams({ client_id: 'machine', client_secret: secret() });
      const answer = await send({ ...GRANT, token: 'x' }, undefined, `${path}?${query.toString()}`);
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
      const beside = await send(
        { ...GRANT, token: 'x' },
        basicAuth('machine', secret()),
        `${path}?client_secret=x`,
      );
      expect(beside).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
      expect(JSON.stringify([answer.body, beside.body])).not.toContain(secret());
    },
  );

  it.each([
    ['another scheme', 'Bearer abc'],
    ['no scheme', 'abc'],
    ['no base64', 'Basic ###'],
    ['no colon', `Basic ${btoa('machine')}`],
    ['no secret', `Basic ${btoa('machine:')}`],
    ['bad percent-encoding', `Basic ${btoa('machine:%ZZ')}`],
    ['a control character', `Basic ${btoa('machine:%00')}`],
    ['no UTF-8', `Basic ${btoa('machine:%FF')}`],
    ['a second value', 'Basic a b'],
  ])('answers 4xx to a header with %s', async (_name, header) => {
    const answer = await send(GRANT, header);
    expect([400, 401]).toContain(answer.status);
    expect(['invalid_request', 'invalid_client']).toContain(answer.body.error);
  });

  it('lets a public client identify itself, and refuses it a secret', async () => {
    const form = { grant_type: 'refresh_token', refresh_token: 'x' };
    expect(await send({ ...form, client_id: 'spa' })).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    });
    expect((await send({ ...form, client_id: 'spa', client_secret: 'x' })).status).toBe(401);
  });

  it('is needed at /introspect', async () => {
    const answer = await send({ token: 'x' }, undefined, '/introspect');
    expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_client' } });
    expect(answer.headers.get('www-authenticate')).toMatch(/^Basic /);
    expect((await send({ token: 'x', client_id: 'spa' }, undefined, '/introspect')).status).toBe(401);
    expect(
      await send({ token: 'x' }, basicAuth('gateway', world.gateway.secret ?? ''), '/introspect'),
    ).toMatchObject({ status: 200, body: { active: false } });
  });

  it.each(['x'.repeat(5000), '\u0000', '__proto__', '../admin', '☃'])(
    'takes any client_id for an unknown one: %.10s',
    async (id) => {
      const answer = await send({ ...GRANT, client_secret: 'x', client_id: id });
      expect([400, 401]).toContain(answer.status);
    },
  );
});
