import { constants, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { kidOf, verifierOf, verifyToken, type Verifier } from '../../src/keys/jws.ts';

const pairs = {
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  EdDSA: generateKeyPairSync('ed25519'),
} as const;
type Alg = keyof typeof pairs;
const algorithms = Object.keys(pairs) as Alg[];

const verifiers = new Map<string, Verifier>(
  algorithms.map((alg) => [
    `key-${alg}`,
    verifierOf(alg, { ...pairs[alg].publicKey.export({ format: 'jwk' }) }),
  ]),
);
const lookUp = (kid: string): Verifier | undefined => verifiers.get(kid);
const verify = (token: string) => verifyToken(token, 'at+jwt', lookUp);
const claims = { iss: 'https://id.example.com', sub: 'Grüße', n: 1 };

const signed = (alg: Alg, header: Record<string, unknown> = {}, key: KeyObject = pairs[alg].privateKey) =>
  new SignJWT(claims).setProtectedHeader({ alg, kid: `key-${alg}`, typ: 'at+jwt', ...header }).sign(key);

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Signs whatever the parts are. */
const forge = (header: string, body: string): string =>
  [
    header,
    body,
    sign('sha256', Buffer.from(`${header}.${body}`), {
      key: pairs.ES256.privateKey,
      dsaEncoding: 'ieee-p1363',
    }).toString('base64url'),
  ].join('.');

describe.each(algorithms)('a token signed with %s', (alg) => {
  it('verifies, as jose has signed it', async () => {
    expect(verify(await signed(alg))).toEqual(claims);
  });

  it('does not when any bit of it is another', async () => {
    const token = await signed(alg);
    for (let at = 0; at < token.length; at += 7) {
      const other = token[at] === 'A' ? 'B' : 'A';
      expect(verify(token.slice(0, at) + other + token.slice(at + 1)), `at ${at}`).toBeUndefined();
    }
  });

  it('does not when another key of the same kind has signed it', async () => {
    const others = {
      ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
      PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
      EdDSA: () => generateKeyPairSync('ed25519'),
    };
    expect(verify(await signed(alg, {}, others[alg]().privateKey))).toBeUndefined();
  });

  it.each(['none', 'HS256', ...algorithms])(
    "does not when it claims the algorithm %s, but the key's",
    async (other) => {
      const token = await signed(alg);
      const [, body, signature] = token.split('.');
      const header = base64url({ alg: other, kid: `key-${alg}`, typ: 'at+jwt' });
      const forged = `${header}.${body}.${signature}`;
      if (forged === token) return expect(verify(forged)).toEqual(claims);
      return expect(verify(forged)).toBeUndefined();
    },
  );

  it('has one spelling: no padding, no other alphabet, no spaces, no spare bits', async () => {
    const token = await signed(alg);
    const [head = '', body = '', tail = ''] = token.split('.');
    const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const spare = last[(last.indexOf(tail.at(-1) ?? '') ^ 1) % 64] ?? '';
    const spellings = [
      `${token}=`,
      `${token} `,
      ` ${token}`,
      `${token}\n`,
      `${token}.`,
      `${head}.${body}.${tail.slice(0, -1)}${spare}`,
      `${head}..${tail}`,
      `${head}.${body}.`,
      `${head}.${body}`,
      `${head}.${body}.${Buffer.from(tail, 'base64url').toString('base64')}=`,
    ];
    for (const each of spellings) expect(verify(each), JSON.stringify(each)).toBeUndefined();
  });
});

describe('a header', () => {
  it.each([
    ['without a type', { typ: undefined }],
    ['of an ID token', { typ: 'JWT' }],
    ['of a logout token', { typ: 'logout+jwt' }],
    ['without a key', { kid: undefined }],
    ['with an unknown key', { kid: 'other' }],
    ['with a key of another type', { kid: 1 }],
    ['with the name of a property of every object', { kid: 'constructor' }],
  ])('%s is refused', (_what, other) => {
    const header = { alg: 'ES256', kid: 'key-ES256', typ: 'at+jwt', ...other };
    expect(verify(forge(base64url(header), base64url(claims)))).toBeUndefined();
  });

  it('that calls anything critical is refused (RFC 7515, 4.1.11)', () => {
    const header = { alg: 'ES256', kid: 'key-ES256', typ: 'at+jwt' };
    expect(verify(forge(base64url(header), base64url(claims)))).toEqual(claims);
    for (const crit of [['b64'], ['exp'], []])
      expect(verify(forge(base64url({ ...header, crit }), base64url(claims)))).toBeUndefined();
  });

  it('is never asked for a key: jwk, jku and x5c are not read', () => {
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const header = base64url({
      alg: 'ES256',
      typ: 'at+jwt',
      kid: 'other',
      jwk: stranger.publicKey.export({ format: 'jwk' }),
    });
    const body = base64url(claims);
    const signature = sign('sha256', Buffer.from(`${header}.${body}`), {
      key: stranger.privateKey,
      dsaEncoding: 'ieee-p1363',
    }).toString('base64url');
    expect(verify(`${header}.${body}.${signature}`)).toBeUndefined();
  });
});

describe('what is no token', () => {
  it.each(['', '.', '..', '...', 'a.b.c', 'e30.e30.', 'bnVsbA.bnVsbA.AA', 'W10.W10.AA', '\0.\0.\0', 'é.é.é'])(
    '%j has neither claims nor a key',
    (token) => {
      expect(verify(token)).toBeUndefined();
      expect(kidOf(token)).toBeUndefined();
    },
  );

  it.each(['null', '[]', '1', '"text"', '', '{', '{"a":1'])('%j as claims is none, even signed', (body) => {
    const header = base64url({ alg: 'ES256', kid: 'key-ES256', typ: 'at+jwt' });
    expect(verify(forge(header, Buffer.from(body).toString('base64url')))).toBeUndefined();
  });

  it('a signature in the form of certificates (DER) is none', () => {
    const header = base64url({ alg: 'ES256', kid: 'key-ES256', typ: 'at+jwt' });
    const body = base64url(claims);
    const der = sign('sha256', Buffer.from(`${header}.${body}`), pairs.ES256.privateKey);
    expect(verify(`${header}.${body}.${der.toString('base64url')}`)).toBeUndefined();
  });

  it('a PSS signature with a salt of another length is none (RFC 7518, 3.5)', () => {
    const header = base64url({ alg: 'PS256', kid: 'key-PS256', typ: 'at+jwt' });
    const body = base64url(claims);
    const with_ = (saltLength: number): string =>
      sign('sha256', Buffer.from(`${header}.${body}`), {
        key: pairs.PS256.privateKey,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength,
      }).toString('base64url');
    expect(verify(`${header}.${body}.${with_(32)}`)).toEqual(claims);
    expect(verify(`${header}.${body}.${with_(20)}`)).toBeUndefined();
  });

  it('random bytes', () => {
    for (let i = 0; i < 500; i++) expect(verify(randomBytes(i % 90).toString('latin1'))).toBeUndefined();
  });
});
