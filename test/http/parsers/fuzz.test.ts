import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from '../../support/fixtures.ts';
import { basicAuth } from '../../support/server.ts';
import { authorizationQuery } from '../support/authorization.ts';

/** Values that parsers, databases and languages trip over. */
const TRICKY = [
  '\u0000',
  '\u202E',
  '\uFFFF',
  '__proto__',
  'constructor',
  'null',
  '[]',
  '{}',
  '-1',
  '1e999',
  '"',
  "'",
  '%',
  '\r\nx: y',
  '<script>',
  'urn:ietf:params:oauth:request_uri:',
  'urn:ietf:params:oauth:request_uri:\u0000',
  'https://orders.example/api',
  '//',
  'a.b.c',
  'e30.e30.e30',
  'pcr_\u0000',
  'pca_\u0000',
  ' '.repeat(100),
  'x'.repeat(3000),
];
const value = fc.oneof(
  fc.constantFrom(...TRICKY),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.json({ maxDepth: 2 }),
);
const parameters = (...names: string[]) =>
  fc.dictionary(fc.constantFrom(...names), value, { minKeys: 1, maxKeys: 4 });

describe('no input is a server error', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(() => world.close());

  const below500 = async (path: string, init: RequestInit): Promise<void> => {
    const response = await fetch(world.url + path, { redirect: 'manual', ...init });
    await response.arrayBuffer();
    expect(response.status).toBeLessThan(500);
  };
  const runs = { numRuns: 60, endOnFailure: true };

  it('at /authorize', async () => {
    const names =
      'client_id redirect_uri response_type response_mode scope state nonce prompt max_age claims resource ' +
      'ui_locales login_hint id_token_hint acr_values request request_uri code_challenge ' +
      'code_challenge_method dpop_jkt registration';
    await fc.assert(
      fc.asyncProperty(parameters(...names.split(' ')), (changes) =>
        below500(`/authorize?${authorizationQuery(world.web, changes)}`, {
          headers: { accept: 'text/html' },
        }),
      ),
      runs,
    );
  });

  it.each([
    [
      '/token',
      [
        'grant_type',
        'code',
        'refresh_token',
        'redirect_uri',
        'scope',
        'resource',
        'code_verifier',
        'client_id',
      ],
    ],
    ['/introspect', ['token', 'token_type_hint', 'client_id']],
    ['/revoke', ['token', 'token_type_hint', 'client_id']],
    [
      '/par',
      ['client_id', 'redirect_uri', 'scope', 'claims', 'resource', 'prompt', 'max_age', 'dpop_jkt', 'state'],
    ],
  ])('at %s', async (path, names) => {
    const grants = ['authorization_code', 'refresh_token', 'client_credentials'];
    await fc.assert(
      fc.asyncProperty(parameters(...names), fc.constantFrom(...grants), (changes, grantType) =>
        below500(path, {
          method: 'POST',
          headers: { authorization: basicAuth('web', world.web.secret ?? '') },
          body: new URLSearchParams({ grant_type: grantType, token: 'x', response_type: 'code', ...changes }),
        }),
      ),
      runs,
    );
  });

  it('at /userinfo, in headers and forms', async () => {
    const ascii = fc.string({ unit: 'grapheme-ascii', maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(ascii, ascii, value, async (scheme, token, field) => {
        const authorization = `${scheme.trim()} ${token.trim()}`.trim();
        await below500('/userinfo', { headers: { authorization, dpop: token.trim() } });
        await below500('/userinfo', { method: 'POST', body: new URLSearchParams({ access_token: field }) });
      }),
      { ...runs, numRuns: 60 },
    );
  });

  it('at /logout', async () => {
    await fc.assert(
      fc.asyncProperty(
        parameters('id_token_hint', 'client_id', 'post_logout_redirect_uri', 'state', 'ui_locales'),
        (changes) =>
          below500(`/logout?${new URLSearchParams(changes).toString()}`, {
            headers: { accept: 'text/html' },
          }),
      ),
      { ...runs, numRuns: 60 },
    );
  });
});
