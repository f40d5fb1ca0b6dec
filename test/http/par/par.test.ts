import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { newPkce } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { passPages, startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { replyOf } from '../support/authorization.ts';
import { pass, stopTime } from '../support/time.ts';

interface Pushed {
  readonly request_uri: string;
  readonly expires_in: number;
}

describe.each(databaseKinds)('pushed authorization requests on %s', (kind) => {
  let world: World;
  let strict: TestClient;
  beforeAll(async () => {
    world = await startWorld({ kind });
    strict = await world.client({
      client_id: 'strict',
      require_pushed_authorization_requests: true,
      redirect_uris: ['https://strict.example/cb'],
      scope: 'openid',
    });
    stopTime();
  });
  afterAll(async () => {
    vi.useRealTimers();
    await world.close();
  });

  const request = (client: TestClient, more: Record<string, string> = {}) => ({
    client_id: client.id,
    response_type: 'code',
    redirect_uri: client.redirect,
    scope: 'openid',
    state: 'pushed state',
    code_challenge: newPkce().challenge,
    code_challenge_method: 'S256',
    ...more,
  });
  const push = async (client: TestClient, more?: Record<string, string>): Promise<string> => {
    const answer = await world.post<Pushed>('/par', request(client, more), client);
    expect(answer.status).toBe(201);
    return answer.body.request_uri;
  };
  const follow = async (clientId: string, requestUri: string, more: Record<string, string> = {}) => {
    const query = new URLSearchParams({ client_id: clientId, request_uri: requestUri, ...more });
    const browser = world.browser();
    return { browser, seen: await browser.go(`${world.url}/authorize?${query.toString()}`) };
  };

  it('answers 201 with a URI that leads to a code, and with the state that was pushed', async () => {
    const { verifier, challenge } = newPkce();
    const answer = await world.post<Pushed>(
      '/par',
      request(world.web, { code_challenge: challenge }),
      world.web,
    );
    expect(answer.status).toBe(201);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.body.request_uri).toMatch(/^urn:ietf:params:oauth:request_uri:[\w-]{43,}$/);
    expect(answer.body.expires_in).toBe(60);
    const { browser, seen } = await follow('web', answer.body.request_uri);
    const { result, target } = replyOf(await passPages(browser, seen));
    expect(target).toBe(world.web.redirect);
    expect(result.get('state')).toBe('pushed state');
    expect(result.get('iss')).toBe(world.url);
    const tokens = await world.post(
      '/token',
      { grant_type: 'authorization_code', code: result.get('code') ?? '', code_verifier: verifier },
      world.web,
    );
    expect(tokens.status).toBe(200);
  });

  it('needs the client’s authentication', async () => {
    const wrong = { ...world.web, secret: 'wrong' };
    expect(await world.post('/par', request(world.web), wrong)).toMatchObject({
      status: 401,
      body: { error: 'invalid_client' },
    });
    expect((await world.post('/par', request(world.web))).status).toBe(401);
    expect((await world.post('/par', request(world.spa), world.spa)).status).toBe(201); // public: by client_id
  });

  it('is checked when it is pushed, not when it is followed', async () => {
    for (const [more, error] of [
      [{ redirect_uri: 'https://evil.example/cb' }, 'invalid_request'],
      [{ scope: 'openid nothing:known' }, 'invalid_scope'],
      [{ resource: 'https://nobody.example/' }, 'invalid_target'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
      [{ response_type: 'token' }, 'unsupported_response_type'],
      [{ claims: '{' }, 'invalid_request'],
      [{ request_uri: 'urn:ietf:params:oauth:request_uri:x' }, 'request_uri_not_supported'],
      [{ request: 'e30.e30.' }, 'request_not_supported'],
    ] as const) {
      expect(await world.post('/par', request(world.web, more), world.web)).toMatchObject({
        status: 400,
        body: { error },
      });
    }
  });

  it('is used once', async () => {
    const uri = await push(world.web);
    const { browser, seen } = await follow('web', uri);
    expect(replyOf(await passPages(browser, seen)).result.get('code')).toBeTruthy();
    const again = replyOf((await follow('web', uri)).seen);
    expect(again.error).toBe('invalid_request_uri');
    expect(again.target).toBe(world.web.redirect);
  });

  it('gives one code to several browsers that follow it at the same time', async () => {
    const uri = await push(world.web);
    const started = await Promise.all([follow('web', uri), follow('web', uri), follow('web', uri)]);
    const replies = await Promise.all(
      started.map(async ({ browser, seen }) => replyOf(await passPages(browser, seen))),
    );
    expect(replies.filter(({ result }) => result.has('code'))).toHaveLength(1);
    expect(replies.filter(({ error }) => error === 'invalid_request_uri')).toHaveLength(2);
  });

  it('cannot be followed after its minute, but a sign-in that began in time may take longer', async () => {
    const [late, slow] = [await push(world.web), await push(world.web)];
    const { browser, seen } = await follow('web', slow);
    pass(90);
    expect(replyOf((await follow('web', late)).seen).error).toBe('invalid_request_uri');
    expect(replyOf(await passPages(browser, seen)).result.get('code')).toBeTruthy();
  });

  it('is the pushing client’s alone', async () => {
    const uri = await push(world.web);
    const stolen = replyOf((await follow('spa', uri)).seen);
    expect(stolen.result.has('code')).toBe(false);
    expect(stolen.error).toMatch(/^invalid_request/);
    expect(stolen.target).toBe(world.spa.redirect);
    expect((await follow('web', uri)).seen.page).toBe('login'); // and is not used up by it
  });

  it('is not changed by what stands beside it in the URL', async () => {
    const uri = await push(world.web);
    const { browser, seen } = await follow('web', uri, {
      redirect_uri: 'https://evil.example/cb',
      scope: 'openid email',
      state: 'another',
    });
    const { target, result } = replyOf(await passPages(browser, seen));
    expect(target).toBe(world.web.redirect);
    expect(result.get('state')).toBe('pushed state');
  });

  it.each(['urn:ietf:params:oauth:request_uri:', 'urn:ietf:params:oauth:request_uri:unknown', 'urn:other:x'])(
    'that does not exist is an error: %s',
    async (uri) => {
      expect(replyOf((await follow('web', uri)).seen).error).toMatch(
        /^(invalid_request_uri|request_uri_not_supported)$/,
      );
    },
  );

  it('is required of a client that says so', async () => {
    const query = new URLSearchParams(request(strict));
    const direct = replyOf(await world.browser().go(`${world.url}/authorize?${query.toString()}`));
    expect(direct.error).toBe('invalid_request');
    expect((await follow(strict.id, await push(strict))).seen.page).toBe('login');
  });

  it('carries claims, and the redirect URI may be left out where one is registered', async () => {
    const { redirect_uri: _left, ...rest } = request(world.web);
    const answer = await world.post<Pushed>(
      '/par',
      { ...rest, claims: '{"userinfo":{"email":null}}' },
      world.web,
    );
    expect(answer.status).toBe(201);
    const { browser, seen } = await follow('web', answer.body.request_uri);
    const consent = await browser.submit(
      seen,
      { username: 'alice', password: 'lantern-orbit-velvet-7' },
      '/login',
    );
    expect(consent.page).toBe('consent');
    expect(consent.text).toContain('email');
  });
});
