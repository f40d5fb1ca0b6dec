/** What a new password must be (NIST SP 800-63B, 5.1.1.2): long, not common, not about its owner. No composition rules. */
import { readFileSync } from 'node:fs';
import { MAX_PASSWORD_BYTES } from './passwords.ts';

/** Characters (code points). */
export const MIN_PASSWORD_CHARACTERS = 12;

/** Why a password is refused. */
export type PasswordFault = 'too_short' | 'too_long' | 'invalid' | 'too_common' | 'too_personal';

/** English text for each fault. */
export const passwordFaultTexts: Readonly<Record<PasswordFault, string>> = {
  too_short: `must have at least ${MIN_PASSWORD_CHARACTERS} characters`,
  too_long: `must have at most ${MAX_PASSWORD_BYTES} bytes`,
  invalid: 'must not hold control characters',
  too_common: 'is among the passwords that are tried first',
  too_personal: 'must not be built on the username or e-mail address',
};

const common = new Set(
  readFileSync(new URL('common-passwords.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#')),
);

/** Decoration around a stem: up to this many characters more do not make a common password a good one. */
const DECORATION = 8;

/** The reason to refuse a new password, or undefined when it may be used. */
export function checkPassword(
  password: string,
  owner: { readonly username?: string | undefined; readonly email?: string | undefined } = {},
): PasswordFault | undefined {
  if (!password.isWellFormed() || /\p{Cc}/u.test(password)) return 'invalid';
  if (Array.from(password).length < MIN_PASSWORD_CHARACTERS) return 'too_short';
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) return 'too_long';
  const plain = password.normalize('NFKC').toLowerCase();
  if (isCommon(plain)) return 'too_common';
  return isPersonal(plain, owner) ? 'too_personal' : undefined;
}

function isCommon(plain: string): boolean {
  if (/^(.{1,4}?)\1{2,}.{0,3}$/su.test(plain)) return true; // one to four characters, over and over
  const stem = plain.replace(/^[^\p{L}]+|[^\p{L}]+$/gu, '');
  return common.has(plain) || (plain.length - stem.length <= DECORATION && common.has(stem));
}

/** Whether little is left of it without the name of its owner. */
function isPersonal(
  plain: string,
  owner: { username?: string | undefined; email?: string | undefined },
): boolean {
  const { username, email } = owner;
  return [username, email, email?.split('@')[0]]
    .flatMap((name) => name?.normalize('NFKC').toLowerCase() || [])
    .some((name) => name.length >= 3 && plain.includes(name) && plain.length - name.length <= DECORATION);
}
