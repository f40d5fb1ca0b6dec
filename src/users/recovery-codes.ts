/** Codes for when the second factor is lost: shown once, each good once. Called by `second-factors.ts` only. */
import { randomLetters } from '../lib/ids.ts';

const COUNT = 10;
/** 50 bits: guesses are throttled, and the stored hash is keyed. */
const LENGTH = 10;

/** As they are shown: in two groups. */
export const newRecoveryCodes = (): string[] =>
  Array.from({ length: COUNT }, () => randomLetters(LENGTH).replace(/^(.{5})/, '$1-'));

/** The form that is hashed, of what somebody typed: case, gaps and look-alike letters make no difference. */
export const normalizeRecoveryCode = (typed: string): string =>
  typed
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, '')
    .replaceAll('O', '0')
    .replace(/[IL]/g, '1');
