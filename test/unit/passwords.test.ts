import { hash } from 'argon2';
import { describe, expect, it } from 'vitest';
import { lengthPolicy, passwordPolicy } from '../../src/users/password-policy.ts';
import { createPasswords } from '../../src/users/passwords.ts';

const PASSWORD = 'plum orchard ladder 9';
const wrong = { ok: false, rehash: false };

describe('a password hash', () => {
  const { hashPassword, verifyPassword } = createPasswords();

  it('is argon2id with 19 MiB, two passes, one lane, and a salt of its own', async () => {
    const [a, b] = await Promise.all([hashPassword(PASSWORD), hashPassword(PASSWORD)]);
    expect(a).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(a).not.toBe(b);
  });

  it('verifies its own password only', async () => {
    const hash = await hashPassword(PASSWORD);
    expect(await verifyPassword(hash, PASSWORD)).toEqual({ ok: true, rehash: false });
    expect(await verifyPassword(hash, `${PASSWORD} `)).toEqual(wrong);
    expect(await verifyPassword(hash, '')).toEqual(wrong);
  });

  it('takes a password in whatever form a keyboard sends it', async () => {
    const hash = await hashPassword('cafe\u0301 au\u00a0lait, monsieur');
    expect((await verifyPassword(hash, 'caf\u00e9 au lait, monsieur')).ok).toBe(true);
  });

  it('asks to be made anew when it was made with other parameters', async () => {
    const old = await hash(PASSWORD, { memoryCost: 8192, timeCost: 1, parallelism: 1 });
    expect(await verifyPassword(old, PASSWORD)).toEqual({ ok: true, rehash: true });
    expect(await verifyPassword(old, 'another')).toEqual(wrong);
  });

  it('is computed for an unknown user too, and never right', async () => {
    // Were nothing computed, a second call would not be turned away by a queue without room.
    const single = createPasswords({ parallel: 1, waiting: 0 });
    const first = single.verifyPassword(undefined, PASSWORD);
    await expect(single.verifyPassword(undefined, PASSWORD)).rejects.toMatchObject({ code: 'overloaded' });
    expect(await first).toEqual(wrong);
  });

  it('is refused for what is empty, over 1024 bytes, or not Unicode', async () => {
    for (const bad of ['', 'x'.repeat(1025), '\u00e9'.repeat(513), `lone surrogate \ud800`]) {
      await expect(hashPassword(bad)).rejects.toMatchObject({ code: 'invalid_password', status: 422 });
      expect(await verifyPassword(undefined, bad)).toEqual(wrong);
    }
    expect(await verifyPassword(await hashPassword('x'.repeat(1024)), 'x'.repeat(1024))).toMatchObject({
      ok: true,
    });
  });
});

describe('a flood of sign-ins', () => {
  it('waits in a bounded queue, and is turned away beyond it', async () => {
    const { verifyPassword } = createPasswords({ parallel: 1, waiting: 2 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 6 }, () => verifyPassword(undefined, PASSWORD)),
    );
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
    ]);
    expect(outcomes[5]).toMatchObject({ reason: { status: 503, details: { retryAfter: 1 } } });
    expect(await verifyPassword(undefined, PASSWORD)).toEqual(wrong);
  });

  it('leaves no slot taken after an impossible hash', async () => {
    const { verifyPassword } = createPasswords({ parallel: 1, waiting: 0 });
    await expect(verifyPassword('not a hash', PASSWORD)).rejects.toThrow(/hash|digest|PHC|contain/i);
    expect(await verifyPassword(undefined, PASSWORD)).toEqual(wrong);
  });
});

describe('a new password', () => {
  const owner = { username: 'Alexandra', email: 'vexil@example.com' };

  it.each([
    'plum orchard ladder',
    'ΰσω-πέντε-δέκα',
    'onlylettersinhere',
    '728193405166',
    'my name is alexandra, hello there',
    'dragon riders of the north',
  ])('may be %j', (password) => {
    expect(lengthPolicy.check(password, owner)).toBeUndefined();
  });

  it.each([
    ['elevenchars', 'too_short'],
    ['😀'.repeat(11), 'too_short'],
    ['x1y2'.repeat(257), 'too_long'],
    ['plum orchard\u0000ladder', 'invalid'],
    ['plum orchard\ud800ladder', 'invalid'],
    ['qwerty123456', 'too_common'],
    ['QWERTY123456', 'too_common'],
    ['Password123!', 'too_common'],
    ['!!!welcome2026', 'too_common'],
    ['aaaaaaaaaaaaa', 'too_common'],
    ['abcabcabcabcab', 'too_common'],
    ['correct horse battery staple', 'too_common'],
    ['alexandra1234', 'too_personal'],
    ['12alexandra34', 'too_personal'],
    ['vexil@example.com', 'too_personal'],
    ['Vexil-1234567', 'too_personal'],
  ])('may not be %j: %s', (password, fault) => {
    expect(lengthPolicy.check(password, owner)).toBe(fault);
  });

  it('is judged without an owner too', () => {
    expect(lengthPolicy.check('alexandra 1234')).toBeUndefined();
  });
});

describe('a new password where strength counts', () => {
  const owner = { username: 'Alexandra', email: 'vexil@example.com' };

  it('is rated by how it would be guessed, not by its length alone', async () => {
    const policy = await passwordPolicy('strength');
    expect(policy.minLength).toBe(8);
    const faults = Object.fromEntries(
      [
        'plum orchard ladder',
        'k8#Qz!pw2L',
        'k8#Qz!p',
        'mississippi',
        'katherine88',
        '19.12.1987',
        'alexandra-rose-1',
        'password1234',
        'aB1!'.repeat(16),
        'x'.repeat(1025),
      ].map((password) => [password.slice(0, 20), policy.check(password, owner)]),
    );
    expect(faults).toEqual({
      'plum orchard ladder': undefined,
      'k8#Qz!pw2L': undefined,
      'k8#Qz!p': 'too_short',
      mississippi: 'too_weak',
      katherine88: 'too_weak',
      '19.12.1987': 'too_weak',
      'alexandra-rose-1': 'too_personal',
      password1234: 'too_common',
      ['aB1!'.repeat(5)]: 'too_common',
      ['x'.repeat(20)]: 'too_long',
    });
  });

  it('is rated by its beginning alone, so that nobody keeps the server busy with a long one', async () => {
    const policy = await passwordPolicy('strength');
    // All that is strong comes too late.
    expect(policy.check(`${'qwertyuiop '.repeat(3)}k8#Qz!pw2L plum orchard ladder`, owner)).toBe('too_weak');
  });
});
