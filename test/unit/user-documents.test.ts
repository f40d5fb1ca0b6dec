import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PortcullisError } from '../../src/lib/errors.ts';
import { claimsSchema, SCOPE_CLAIMS } from '../../src/users/claims.ts';
import { mergeUser, parseUser, requireGoodPassword, userSchema } from '../../src/users/user-document.ts';

const faults = (work: () => unknown): string[] => {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(PortcullisError);
    expect(error).toMatchObject({ code: 'invalid_user', status: 422 });
    return (error as PortcullisError).details.errors?.map(({ pointer }) => pointer) ?? [];
  }
  throw new Error('was not refused');
};

const everyClaim = {
  given_name: 'Zoë',
  family_name: "O'Brien",
  middle_name: 'J.',
  nickname: 'zo',
  preferred_username: 'zoe',
  profile: 'https://example.com/zoe',
  picture: 'https://example.com/zoe.png',
  website: 'http://zoe.example.com',
  gender: 'female',
  birthdate: '1990-02-28',
  zoneinfo: 'Europe/Paris',
  locale: 'fr-CA',
  phone_number: '+1 (425) 555-1212;ext=5678',
  phone_number_verified: true,
  address: { formatted: 'Line 1\r\nLine 2', street_address: '1 Rue', locality: 'Paris', country: 'FR' },
};

describe('a user document', () => {
  it('needs a username only, and is complete afterwards', () => {
    expect(parseUser({ username: 'zoe' })).toEqual({
      username: 'zoe',
      email_verified: false,
      claims: {},
      enabled: true,
    });
  });

  it('takes every standard claim', () => {
    const user = {
      username: 'Zoë O’Brien',
      email: 'zoe@example.com',
      email_verified: true,
      name: 'Zoë O’Brien',
      claims: everyClaim,
      enabled: false,
      password: 'plum orchard ladder',
    };
    expect(parseUser(user)).toEqual(user);
  });

  it.each<[string, unknown]>([
    ['', 'text'],
    ['', []],
    ['/username', {}],
    ['/username', { username: '' }],
    ['/username', { username: 7 }],
    ['/username', { username: 'x'.repeat(129) }],
    ['/username', { username: 'a\u0000b' }],
    ['/username', { username: 'a\u200bb' }],
    ['/username', { username: ' zoe' }],
    ['/username', { username: 'zoe ' }],
    ['/email', { username: 'zoe', email: 'zoe' }],
    ['/email', { username: 'zoe', email: `${'x'.repeat(250)}@example.com` }],
    ['/email_verified', { username: 'zoe', email: 'z@example.com', email_verified: 'yes' }],
    ['/email_verified', { username: 'zoe', email_verified: true }],
    ['/name', { username: 'zoe', name: 'a\nb' }],
    ['/enabled', { username: 'zoe', enabled: 1 }],
    ['/id', { username: 'zoe', id: 'x' }],
    ['/created_at', { username: 'zoe', created_at: 1 }],
    ['/admin', { username: 'zoe', admin: true }],
    ['/a~1b~0c', { username: 'zoe', 'a/b~c': 1 }],
    ['/password', { username: 'zoe', password: 'short' }],
    ['/password', { username: 'zoe', password: 12 }],
    ['/password', { username: 'very-long-name', password: 'very-long-name' }],
    ['/claims', { username: 'zoe', claims: [] }],
    ['/claims/sub', { username: 'zoe', claims: { sub: 'x' } }],
    ['/claims/email', { username: 'zoe', claims: { email: 'x@example.com' } }],
    ['/claims/updated_at', { username: 'zoe', claims: { updated_at: 1 } }],
    ['/claims/role', { username: 'zoe', claims: { role: 'admin' } }],
    ['/claims/given_name', { username: 'zoe', claims: { given_name: '' } }],
    ['/claims/picture', { username: 'zoe', claims: { picture: 'javascript:alert(1)' } }],
    ['/claims/website', { username: 'zoe', claims: { website: 'example.com' } }],
    ['/claims/birthdate', { username: 'zoe', claims: { birthdate: '1990-02-29' } }],
    ['/claims/birthdate', { username: 'zoe', claims: { birthdate: '28.2.1990' } }],
    ['/claims/birthdate', { username: 'zoe', claims: { birthdate: '0000' } }],
    ['/claims/birthdate', { username: 'zoe', claims: { birthdate: '1990-13-01' } }],
    ['/claims/birthdate', { username: 'zoe', claims: { birthdate: '1990-04-31' } }],
    ['/claims/zoneinfo', { username: 'zoe', claims: { zoneinfo: 'Mars/Olympus' } }],
    ['/claims/zoneinfo', { username: 'zoe', claims: { zoneinfo: '+01:00' } }],
    ['/claims/locale', { username: 'zoe', claims: { locale: 'not a locale' } }],
    ['/claims/phone_number', { username: 'zoe', claims: { phone_number: '555-1212' } }],
    ['/claims/phone_number_verified', { username: 'zoe', claims: { phone_number_verified: true } }],
    ['/claims/address', { username: 'zoe', claims: { address: '1 Rue, Paris' } }],
    ['/claims/address/planet', { username: 'zoe', claims: { address: { planet: 'Earth' } } }],
    ['/claims/address/locality', { username: 'zoe', claims: { address: { locality: 'a\nb' } } }],
  ])('is refused at %s: %j', (pointer, document) => {
    expect(faults(() => parseUser(document))).toEqual([pointer]);
  });

  it('is refused with all its faults at once', () => {
    expect(
      faults(() =>
        parseUser({ username: '', email: 'x', password: 'short', claims: { locale: '?', role: 1 }, x: 1 }),
      ).sort(),
    ).toEqual(['/claims/locale', '/claims/role', '/email', '/password', '/username', '/x']);
  });

  it('does not take a member called __proto__', () => {
    expect(faults(() => parseUser(JSON.parse('{"username":"zoe","__proto__":{"enabled":false}}')))).toEqual([
      '/__proto__',
    ]);
  });

  it.each(['2000-02-29', '0000-02-29', '1987', 'en_US'])('takes %j where the standard does', (value) => {
    const claims = value === 'en_US' ? { locale: value } : { birthdate: value };
    expect(parseUser({ username: 'zoe', claims }).claims).toEqual(claims);
  });

  it('can be described as JSON Schema', () => {
    const schema = z.toJSONSchema(userSchema, { io: 'input' });
    expect(schema).toMatchObject({ required: ['username'], additionalProperties: false });
    expect(schema.properties?.['password']).toMatchObject({ writeOnly: true });
  });
});

describe('a patch of a user', () => {
  const existing = parseUser({
    username: 'zoe',
    name: 'Zoe',
    email: 'zoe@example.com',
    email_verified: true,
    claims: {
      phone_number: '+33 1 23',
      phone_number_verified: true,
      address: { country: 'FR', locality: 'Paris' },
    },
  });

  it('changes what it names, takes away what it nulls, and leaves the rest', () => {
    const patch = { name: null, claims: { nickname: 'zo', address: { locality: null } } };
    expect(mergeUser(existing, patch)).toEqual({
      username: 'zoe',
      email: 'zoe@example.com',
      email_verified: true,
      enabled: true,
      claims: {
        phone_number: '+33 1 23',
        phone_number_verified: true,
        nickname: 'zo',
        address: { country: 'FR' },
      },
    });
  });

  it('makes a new address or number unverified, unless it says otherwise', () => {
    const changed = mergeUser(existing, { email: 'new@example.com', claims: { phone_number: '+33 9 99' } });
    expect(changed.email_verified).toBe(false);
    expect(changed.claims.phone_number_verified).toBeUndefined();
    expect(mergeUser(existing, { email: 'new@example.com', email_verified: true }).email_verified).toBe(true);
    expect(mergeUser(existing, { email: 'zoe@example.com' }).email_verified).toBe(true);
    expect(mergeUser(existing, { email: null }).email_verified).toBe(false);
  });

  it('is judged like a new document', () => {
    expect(faults(() => mergeUser(existing, { username: null }))).toEqual(['/username']);
    expect(faults(() => mergeUser(existing, { claims: { role: 'admin' } }))).toEqual(['/claims/role']);
    expect(faults(() => mergeUser(existing, []))).toEqual(['']);
  });
});

describe('a password that is set', () => {
  it('is held to the policy, with the user in mind', () => {
    expect(() => requireGoodPassword('plum orchard ladder', { username: 'zoe' })).not.toThrow();
    expect(faults(() => requireGoodPassword('zoe-1234-zoe', { username: 'zoe-1234' }))).toEqual([
      '/password',
    ]);
    expect(faults(() => requireGoodPassword(undefined, {}))).toEqual(['/password']);
  });
});

describe('scopes', () => {
  it('release every claim that a user can have, each by one scope', () => {
    const released = Object.values(SCOPE_CLAIMS).flat();
    expect(new Set(released).size).toBe(released.length);
    expect([...released].sort()).toEqual(
      [...Object.keys(claimsSchema.shape), 'email', 'email_verified', 'name', 'updated_at'].sort(),
    );
  });
});
