import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { ask } from '../support/authorization.ts';

describe('redirect URIs', () => {
  let world: World;
  let native: TestClient;
  let two: TestClient;
  beforeAll(async () => {
    world = await startWorld();
    native = await world.client({
      client_id: 'native',
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1/cb', 'http://[::1]/cb', 'com.example.app:/cb'],
      scope: 'openid',
    });
    two = await world.client({
      client_id: 'two',
      redirect_uris: ['https://two.example/a', 'https://two.example/b?x=1'],
      scope: 'openid',
    });
  });
  afterAll(() => world.close());

  const stays = async (client: TestClient, params: Record<string, string | string[] | undefined>) => {
    const { seen, page, status } = await ask(world, client, { scope: 'openid', ...params });
    expect(seen.headers.get('location')).toBeNull();
    expect({ page, status }).toEqual({ page: 'error', status: 400 });
    return seen;
  };

  it.each([
    ['another host', 'https://evil.example/cb'],
    ['a longer path', 'https://shop.example/cb/more'],
    ['a query', 'https://shop.example/cb?next=evil'],
    ['a fragment', 'https://shop.example/cb#x'],
    ['another case', 'https://SHOP.example/cb'],
    ['a trailing dot', 'https://shop.example./cb'],
    ['credentials', 'https://shop.example@evil.example/cb'],
    ['a port', 'https://shop.example:8443/cb'],
    ['another scheme', 'http://shop.example/cb'],
    ['traversal', 'https://shop.example/x/../cb'],
    ['an encoded path', 'https://shop.example/%63b'],
    ['a space', ' https://shop.example/cb'],
    ['a script', 'javascript:alert(1)'],
    ['nonsense', '\u0001:::'],
  ])('differ by %s: the error page, never a redirect', async (_name, uri) => {
    const seen = await stays(world.web, { redirect_uri: uri });
    expect(seen.text).toContain('invalid_redirect_uri');
  });

  it('stays on the error page for a bad redirect URI whatever else is wrong', async () => {
    for (const params of [{ response_type: 'nonsense' }, { prompt: 'none' }, { scope: 'nothing:known' }]) {
      await stays(world.web, { redirect_uri: 'https://evil.example/cb', ...params });
    }
  });

  it('are not followed when two are given, however many are registered', async () => {
    await stays(two, { redirect_uri: [two.redirect, 'https://evil.example/cb'] });
    await stays(world.web, { redirect_uri: ['https://evil.example/cb', world.web.redirect] });
    await stays(world.web, { redirect_uri: [world.web.redirect, world.web.redirect] });
  });

  it.each([
    ['unknown', 'nobody'],
    ['absent', undefined],
    ['hostile', '\u0000<script>'],
    ['huge', 'x'.repeat(5000)],
    ['a name of the language', '__proto__'],
  ])('are not followed for a client that is %s', async (_name, id) => {
    const seen = await stays(world.web, { client_id: id });
    expect(seen.text).not.toContain('<script>');
  });

  it('are not followed for a disabled client', async () => {
    const off = await world.client({
      client_id: 'off',
      enabled: false,
      redirect_uris: ['https://off.example/cb'],
    });
    expect((await stays(off, {})).text).toContain('invalid_client');
  });

  it('may be left out where one is registered, and not where several are', async () => {
    expect((await ask(world, world.web, { redirect_uri: undefined })).page).toBe('login');
    expect((await ask(world, world.web, { redirect_uri: undefined, scope: 'no:such' })).target).toBe(
      world.web.redirect,
    );
    await stays(two, { redirect_uri: undefined });
  });

  it('keep their own query', async () => {
    const { result } = await world.authorize(two, {
      params: { redirect_uri: 'https://two.example/b?x=1', scope: 'openid' },
    });
    expect(result.get('x')).toBe('1');
    expect(result.get('code')).toBeTruthy();
  });

  it('take any port on a loopback address for native clients only', async () => {
    for (const uri of ['http://127.0.0.1:51004/cb', 'http://[::1]:61023/cb', 'com.example.app:/cb']) {
      expect((await ask(world, native, { redirect_uri: uri, scope: 'openid' })).page).toBe('login');
    }
    await stays(native, { redirect_uri: 'http://127.0.0.1:51004/other' });
    await stays(native, { redirect_uri: 'http://localhost:51004/cb' });
    await stays(native, { redirect_uri: 'https://127.0.0.1:51004/cb' });
    const local = await world.client({
      client_id: 'local-web',
      redirect_uris: ['http://127.0.0.1:4000/cb'],
      scope: 'openid',
    });
    expect((await ask(world, local, { scope: 'openid' })).page).toBe('login');
    await stays(local, { redirect_uri: 'http://127.0.0.1:4001/cb' });
  });

  it('must match at the token endpoint when sent there', async () => {
    const { code, verifier } = await world.authorize(world.web);
    const redeem = (more: Record<string, string>) =>
      world.post(
        '/token',
        { grant_type: 'authorization_code', code, code_verifier: verifier, ...more },
        world.web,
      );
    expect(await redeem({ redirect_uri: 'https://shop.example/other' })).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    });
    expect((await redeem({})).status).toBe(200); // left out: the client has registered just one
  });

  it('may be left out at the token endpoint whatever port a native client listened on', async () => {
    const single = await world.client({
      client_id: 'native-one',
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1/cb'],
      scope: 'openid',
    });
    const { code, verifier } = await world.authorize(single, {
      params: { redirect_uri: 'http://127.0.0.1:50123/cb', scope: 'openid' },
    });
    const answer = await world.post(
      '/token',
      { grant_type: 'authorization_code', code, code_verifier: verifier },
      single,
    );
    expect(answer.status).toBe(200);
  });

  it('must be sent to the token endpoint by a client that has registered several', async () => {
    const { code, verifier } = await world.authorize(two, { params: { scope: 'openid' } });
    const answer = await world.post(
      '/token',
      { grant_type: 'authorization_code', code, code_verifier: verifier },
      two,
    );
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
  });
});
