import { describe, expect, it } from 'vitest';
import { mergeApi, parseApi } from '../../src/clients/api-schema.ts';
import type { PortcullisError } from '../../src/lib/errors.ts';

const good = { identifier: 'https://api.example/orders', name: 'Orders' };
const scope = (name: string) => ({ name, description: 'Does something' });

/** Pointers of the faults, sorted. */
function pointers(work: () => unknown): string[] {
  try {
    work();
  } catch (error) {
    const { code, status, details } = error as PortcullisError;
    if (code !== 'invalid_api' || status !== 422) throw error;
    return (details.errors ?? []).map(({ pointer }) => pointer).sort();
  }
  return [];
}

describe('the document of an API', () => {
  it('needs an identifier and a name; the rest has defaults', () => {
    expect(parseApi({ ...good, access_token_ttl: null })).toEqual({
      ...good,
      scopes: [],
      accessTokenFormat: 'jwt',
      accessTokenTtl: undefined,
      signingAlg: 'ES256',
    });
    expect(pointers(() => parseApi({}))).toEqual(['/identifier', '/name']);
  });

  it.each(['urn:example:api', 'https://a.example', 'https://a.example:8443/x?y=%20z', 'app.example:orders'])(
    'takes the identifier %s',
    (identifier) => expect(parseApi({ ...good, identifier }).identifier).toBe(identifier),
  );

  it.each([
    [{ identifier: 'orders' }, '/identifier'],
    [{ identifier: '/orders' }, '/identifier'],
    [{ identifier: 'https://a.example/#part' }, '/identifier'],
    [{ identifier: 'https://a.example/ space' }, '/identifier'],
    [{ identifier: 'https://a.example/"quoted"' }, '/identifier'],
    [{ identifier: 'https://ä.example/' }, '/identifier'],
    [{ identifier: 'urn:a\u0000b' }, '/identifier'],
    [{ identifier: 'urn:portcullis:admin' }, '/identifier'],
    [{ identifier: `urn:${'x'.repeat(512)}` }, '/identifier'],
    [{ name: '' }, '/name'],
    [{ name: 'a\nb' }, '/name'],
    [{ name: 7 }, '/name'],
    [{ scopes: 'a b' }, '/scopes'],
    [{ scopes: ['a'] }, '/scopes/0'],
    [{ scopes: [{ name: 'a' }] }, '/scopes/0/description'],
    [{ scopes: [scope('a'), scope('with space')] }, '/scopes/1/name'],
    [{ scopes: [scope('quo"te')] }, '/scopes/0/name'],
    [{ scopes: [scope('back\\slash')] }, '/scopes/0/name'],
    [{ scopes: [scope('')] }, '/scopes/0/name'],
    [{ scopes: [scope('a'), scope('b'), scope('a')] }, '/scopes/2/name'],
    [{ scopes: [scope('openid')] }, '/scopes/0/name'],
    [{ scopes: [scope('keys:write')] }, '/scopes/0/name'],
    [{ access_token_format: 'paseto' }, '/access_token_format'],
    [{ access_token_ttl: 0 }, '/access_token_ttl'],
    [{ access_token_ttl: 1.5 }, '/access_token_ttl'],
    [{ signing_alg: 'none' }, '/signing_alg'],
    [{ signing_alg: 'HS256' }, '/signing_alg'],
    [{ created_at: '2030-01-01T00:00:00Z' }, '/created_at'],
    [{ audience: 'x' }, '/audience'],
  ])('refuses %j', (over, pointer) => {
    expect(pointers(() => parseApi({ ...good, ...over }))).toEqual([pointer]);
  });

  it('is changed by a merge patch that replaces the scopes and cannot move it', () => {
    const before = parseApi({ ...good, scopes: [scope('a')], access_token_ttl: 60 });
    const after = mergeApi(before, { scopes: [scope('b')], access_token_ttl: null, name: 'New' });
    expect(after).toEqual({ ...before, name: 'New', scopes: [scope('b')], accessTokenTtl: undefined });
    expect(mergeApi(before, { identifier: good.identifier })).toEqual(before);
    expect(pointers(() => mergeApi(before, { identifier: 'urn:other', name: '' }))).toEqual([
      '/identifier',
      '/name',
    ]);
    expect(pointers(() => mergeApi(before, []))).toEqual(['']);
    expect(pointers(() => mergeApi(before, { name: null }))).toEqual(['/name']);
  });
});
