/** Passwords of people: argon2id, a bounded number at a time. Made once by `app`; used at sign-in and by the admin API. */
import { argon2id, hash as argon2Hash, needsRehash, verify } from 'argon2';
import { PortcullisError } from '../lib/errors.ts';

/** OWASP's parameters for argon2id; a stored hash with others is made anew at the next sign-in. */
const PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Bytes of UTF-8: more is refused before any hashing. */
export const MAX_PASSWORD_BYTES = 1024;

/** A hash that no password has: verifying against it takes the time that a real one would take. */
const NOBODY = `$argon2id$v=19$m=${PARAMETERS.memoryCost},t=${PARAMETERS.timeCost},p=${PARAMETERS.parallelism}$${'A'.repeat(22)}$${'A'.repeat(43)}`;

/** The outcome of a check; `rehash`: the password is right and its hash should be made anew. */
export interface Verdict {
  readonly ok: boolean;
  readonly rehash: boolean;
}

/** Hashes and checks passwords. */
export interface Passwords {
  /**
   * The encoded hash of a password that `checkPassword` accepted.
   * @throws PortcullisError `invalid_password` (422) when it cannot be hashed, `overloaded` (503)
   */
  readonly hashPassword: (password: string) => Promise<string>;
  /**
   * Whether the password is right. Without a hash (unknown user, user without password) it takes as long and
   * says no.
   * @throws PortcullisError `overloaded` (503) when too many wait
   */
  readonly verifyPassword: (hash: string | undefined, password: string) => Promise<Verdict>;
}

/** Limits on work in parallel. */
export interface PasswordLimits {
  /** Computations at a time: each takes a thread of libuv's four and 19 MiB. Default 2. */
  readonly parallel?: number;
  /** Callers that may wait, before others are turned away. Default 100. */
  readonly waiting?: number;
}

/** Makes the one place that hashes passwords in this process. */
export function createPasswords({ parallel = 2, waiting = 100 }: PasswordLimits = {}): Passwords {
  const run = limited(parallel, waiting);
  return {
    async hashPassword(password) {
      const prepared = prepare(password);
      if (prepared === undefined) {
        throw new PortcullisError('invalid_password', 422, 'This password cannot be used.');
      }
      return run(() => argon2Hash(prepared, { ...PARAMETERS, type: argon2id }));
    },
    async verifyPassword(hash, password) {
      const prepared = prepare(password);
      if (prepared === undefined) return { ok: false, rehash: false };
      const ok = await run(() => verify(hash ?? NOBODY, prepared));
      if (!ok || hash === undefined) return { ok: false, rehash: false };
      return { ok, rehash: needsRehash(hash, PARAMETERS) };
    },
  };
}

/**
 * One form for what different keyboards send: the OpaqueString profile's mappings (RFC 8265, 4.2).
 * Undefined when empty, too long, or not well-formed Unicode.
 */
function prepare(password: string): string | undefined {
  if (!password || !password.isWellFormed()) return undefined;
  if (password.length > MAX_PASSWORD_BYTES || Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    return undefined;
  }
  return password.replace(/\p{Zs}/gu, ' ').normalize('NFC');
}

/** Runs at most `parallel` tasks at a time, first come first served. */
function limited(parallel: number, waiting: number): <T>(task: () => Promise<T>) => Promise<T> {
  const queue: (() => void)[] = [];
  let running = 0;
  return async (task) => {
    if (running >= parallel) {
      if (queue.length >= waiting) {
        throw new PortcullisError('overloaded', 503, 'Too many sign-ins at once. Please try again.', {
          retryAfter: 1,
        });
      }
      await new Promise<void>((resolve) => queue.push(resolve)); // hands over the slot of the one that ended
    } else running += 1;
    try {
      return await task();
    } finally {
      const next = queue.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
