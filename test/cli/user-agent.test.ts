import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createUserAgent, type Page, type UserAgent } from '../../src/cli/try/user-agent.ts';

const ISSUER = 'https://id.example/auth';
const REDIRECT = 'http://127.0.0.1/callback';

type Route = (request: IncomingMessage, response: ServerResponse, body: string) => void;

let server: Server;
let origin: string;
let routes: Record<string, Route>;
let agent: UserAgent;
const seen: {
  method: string;
  url: string;
  cookie: string | undefined;
  origin: string | undefined;
  body: string;
}[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      seen.push({ method, url, cookie: headers.cookie, origin: headers.origin, body });
      const route = routes[url.split('?')[0]!];
      if (route) route(request, response, body);
      else response.writeHead(404).end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  seen.length = 0;
  agent = createUserAgent(origin, ISSUER, REDIRECT);
});

const to =
  (location: string, status = 303, cookies: string[] = []): Route =>
  (_, response) =>
    response.writeHead(status, { location, 'set-cookie': cookies }).end();
const html =
  (text: string): Route =>
  (_, response) =>
    response.end(`<html><main data-page="login" class="x">${text}</main></html>`);
const page = async (url: string): Promise<Page> => {
  const arrival = await agent.visit(url);
  if (!('page' in arrival)) throw new Error('no page');
  return arrival.page;
};

const FORMS = `<h1>Sign in &amp; go</h1>
  <form method="post" action="/other"><input type="hidden" name="csrf" value="no"><button class="link">Not you?</button></form>
  <form method="post" action="/auth/login?a=1&amp;b=2" novalidate>
  <input type="hidden" name="csrf" value="&quot;x&#39;&#x41;">
  <input id="username" name="username" type="text" required value=""><input name="password" type="password">
  <button>Go</button></form>`;

describe('the scripted browser', () => {
  it('asks the server under the name that it is reached by, whatever the issuer is called', async () => {
    routes = { '/auth/authorize': to('https://id.example/auth/login'), '/auth/login': html('Hello') };
    expect(await page(`${ISSUER}/authorize?x=1`)).toMatchObject({ name: 'login', text: 'Hello' });
    expect(seen.map(({ url }) => url)).toEqual(['/auth/authorize?x=1', '/auth/login']);
  });

  it('submits the form that has the fields, with its hidden ones, as a browser of the issuer’s origin', async () => {
    routes = {
      '/auth/login': (request, response, body) =>
        html(request.method === 'POST' ? 'in' : FORMS)(request, response, body),
    };
    const login = await page(`${ISSUER}/login`);
    expect(login.text).toBe('Sign in & go Not you? Go');
    const arrival = await agent.submit(login, { username: 'ada', password: 'a&b' });
    expect(arrival).toMatchObject({ page: { text: 'in' } });
    expect(seen[1]).toMatchObject({
      method: 'POST',
      url: '/auth/login?a=1&b=2',
      origin: 'https://id.example',
    });
    expect(Object.fromEntries(new URLSearchParams(seen[1]!.body))).toEqual({
      csrf: `"x'A`,
      username: 'ada',
      password: 'a&b',
    });
  });

  it('sends cookies back below their path, until they are taken away', async () => {
    routes = {
      '/auth/a': to('/auth/b', 303, [
        'one=1; path=/auth; httponly',
        'two=2; Path=/auth/b',
        'three=3; path=/authority',
      ]),
      '/auth/b': to('/auth/c', 303, ['one=; path=/auth; expires=Thu, 01 Jan 1970 00:00:00 GMT']),
      '/auth/c': html(''),
    };
    await page(`${ISSUER}/a`);
    expect(seen.map(({ cookie }) => cookie)).toEqual([undefined, 'one=1; two=2', undefined]);
  });

  it('ends at the app’s redirect URI without calling it', async () => {
    routes = { '/auth/a': to(`${REDIRECT}?code=c&state=s`) };
    expect(await agent.visit(`${ISSUER}/a`)).toEqual({ redirect: new URL(`${REDIRECT}?code=c&state=s`) });
  });

  it('does not follow the server to another one, round in circles, or with a password after a 307', async () => {
    routes = { '/auth/a': to('https://evil.example/'), '/auth/b': to('/auth/b'), '/auth/login': html(FORMS) };
    await expect(agent.visit(`${ISSUER}/a`)).rejects.toThrow('another one: https://evil.example');
    await expect(agent.visit(`${ISSUER}/b`)).rejects.toThrow('circles');
    const login = await page(`${ISSUER}/login`);
    routes['/auth/login'] = to('/auth/login', 307);
    await expect(agent.submit(login, { username: 'a', password: 'b' })).rejects.toThrow('307');
  });

  it('says when a page lacks the form', async () => {
    routes = { '/auth/login': html(FORMS) };
    await expect(agent.submit(await page(`${ISSUER}/login`), { decision: 'allow' })).rejects.toThrow(
      'decision',
    );
  });
});
