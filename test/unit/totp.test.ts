import { describe, expect, it } from 'vitest';
import { newRecoveryCodes, normalizeRecoveryCode } from '../../src/users/recovery-codes.ts';
import { base32, matchingStep, newTotpSecret, stepOf, totpCode, totpUri } from '../../src/users/totp.ts';

const SECRET = Buffer.from('12345678901234567890');

describe('codes of an authenticator app', () => {
  // RFC 6238, appendix B: the last six of its eight digits.
  it.each([
    [59, '287082'],
    [1111111109, '081804'],
    [1111111111, '050471'],
    [1234567890, '005924'],
    [2000000000, '279037'],
    [20000000000, '353130'],
  ])('at %d seconds is %s', (seconds, code) => {
    expect(totpCode(SECRET, stepOf(seconds * 1000))).toBe(code);
  });

  it('may be a step early or late, and no more', () => {
    const now = 1234567890_000;
    const accepted = [-2, -1, 0, 1, 2].filter(
      (drift) => matchingStep(SECRET, totpCode(SECRET, stepOf(now) + drift), now) === stepOf(now) + drift,
    );
    expect(accepted).toEqual([-1, 0, 1]);
    expect(matchingStep(SECRET, '000000', now)).toBeUndefined();
    expect(matchingStep(SECRET, '', now)).toBeUndefined();
    expect(matchingStep(SECRET, '００５９２４', now)).toBeUndefined();
  });

  // RFC 4648, 10.
  it.each([
    ['f', 'MY'],
    ['fo', 'MZXQ'],
    ['foo', 'MZXW6'],
    ['foobar', 'MZXW6YTBOI'],
  ])('base 32 of %s is %s', (text, encoded) => {
    expect(base32(Buffer.from(text))).toBe(encoded);
  });

  it('is told to apps in their form, whatever is in the names', () => {
    const uri = new URL(totpUri(SECRET, { issuer: 'id.example:8443', username: 'ada & co/+%' }));
    expect(uri.protocol).toBe('otpauth:');
    expect(decodeURIComponent(uri.pathname.split('/').at(-1) ?? '')).toBe('id.example:8443:ada & co/+%');
    expect(uri.searchParams.get('secret')).toBe('GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ');
    expect(uri.href).not.toContain('+');
  });

  it('has 160 bits, other ones each time', () => {
    expect(newTotpSecret()).toHaveLength(20);
    expect(newTotpSecret()).not.toEqual(newTotpSecret());
  });
});

describe('recovery codes', () => {
  it('are ten, each its own, and easy to copy', () => {
    const codes = newRecoveryCodes();
    expect(new Set(codes).size).toBe(10);
    for (const code of codes) expect(code).toMatch(/^[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}$/);
  });

  it('are the same however they are typed', () => {
    for (const typed of ['0l1ab-cdefg', ' OI1AB CDEFG', 'o11abcdefg'])
      expect(normalizeRecoveryCode(typed)).toBe('011ABCDEFG');
  });
});
