/** What a new password must be (NIST SP 800-63B, 5.1.1.2): long, or hard to guess; not common, not about its owner. No composition rules. */
import { readFileSync } from 'node:fs';
import type { Settings } from '../config/schema.ts';
import { MAX_PASSWORD_BYTES } from './passwords.ts';

/** Why a password is refused. */
type PasswordFault = 'too_short' | 'too_long' | 'invalid' | 'too_common' | 'too_weak' | 'too_personal';

/** Whose password it is to be. */
interface Owner {
  readonly username?: string | undefined;
  readonly email?: string | undefined;
}

/** What the operator asks of new passwords. */
export interface PasswordPolicy {
  /** Characters (code points). */
  readonly minLength: number;
  /** The reason to refuse a new password, or undefined when it may be used. */
  check(password: string, owner?: Owner): PasswordFault | undefined;
}

/** English text for a fault. */
export const passwordFaultText = (fault: PasswordFault, { minLength }: PasswordPolicy): string =>
  fault === 'too_short' ? `must have at least ${minLength} characters` : texts[fault];

const texts: Readonly<Record<Exclude<PasswordFault, 'too_short'>, string>> = {
  too_long: `must have at most ${MAX_PASSWORD_BYTES} bytes`,
  invalid: 'must not hold control characters',
  too_common: 'is among the passwords that are tried first',
  too_weak: 'is too easy to guess',
  too_personal: 'must not be built on the username or e-mail address',
};

const common = new Set(
  readFileSync(new URL('common-passwords.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#')),
);

/** Decoration around a stem: up to this many characters more do not make a common password a good one. */
const DECORATION = 8;

/** @param strong what is asked beside the length; the words are those of its owner */
const policy = (
  minLength: number,
  strong: (password: string, words: string[]) => boolean = () => true,
): PasswordPolicy => ({
  minLength,
  check(password, owner = {}) {
    if (!password.isWellFormed() || /\p{Cc}/u.test(password)) return 'invalid';
    if (Array.from(password).length < minLength) return 'too_short';
    if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) return 'too_long';
    const plain = password.normalize('NFKC').toLowerCase();
    if (isCommon(plain)) return 'too_common';
    const names = namesOf(owner);
    if (isPersonal(plain, names)) return 'too_personal';
    return strong(password.slice(0, RATED), names) ? undefined : 'too_weak';
  },
});

/** Twelve characters. */
export const lengthPolicy = policy(12);

/** Characters that are rated: it takes the square of them, and whoever needs more to be strong is not. */
const RATED = 32;
/** Ways to undo letters that were written as digits and signs: it takes so many times as long. */
const SUBSTITUTIONS = 10;
/** Of zxcvbn, 0 to 4: "safely unguessable", 10^8 guesses and more. */
const MIN_SCORE = 3;

/** Eight characters that an attacker who knows words, names, dates and keyboards does not guess soon. */
async function strengthPolicy(): Promise<PasswordPolicy> {
  // A second and 80 MB: for those who ask for it.
  const [{ ZxcvbnFactory }, common, english] = await Promise.all([
    import('@zxcvbn-ts/core'),
    import('@zxcvbn-ts/language-common'),
    import('@zxcvbn-ts/language-en'),
  ]);
  const zxcvbn = new ZxcvbnFactory({
    dictionary: { ...common.dictionary, ...english.dictionary },
    graphs: common.adjacencyGraphs,
    l33tMaxSubstitutions: SUBSTITUTIONS,
    maxLength: RATED,
  });
  return policy(8, (password, words) => zxcvbn.check(password, words).score >= MIN_SCORE);
}

/** @param name as the setting has it */
export const passwordPolicy = async (name: Settings['passwordPolicy']): Promise<PasswordPolicy> =>
  name === 'length' ? lengthPolicy : strengthPolicy();

function isCommon(plain: string): boolean {
  if (/^(.{1,4}?)\1{2,}.{0,3}$/su.test(plain)) return true; // one to four characters, over and over
  const stem = plain.replace(/^[^\p{L}]+|[^\p{L}]+$/gu, '');
  return common.has(plain) || (plain.length - stem.length <= DECORATION && common.has(stem));
}

/** Whether little is left of it without the name of its owner. */
function isPersonal(plain: string, names: readonly string[]): boolean {
  return names.some(
    (name) => name.length >= 3 && plain.includes(name) && plain.length - name.length <= DECORATION,
  );
}

const namesOf = ({ username, email }: Owner): string[] =>
  [username, email, email?.split('@')[0]].flatMap((name) => name?.normalize('NFKC').toLowerCase() || []);
