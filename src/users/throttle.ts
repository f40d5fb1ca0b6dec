/**
 * Throttles guessing: counts failures, never successes, for each account and each address. To be asked before a
 * password is checked, and told afterwards; whoever signs people in calls it.
 */
import { isIPv6 } from 'node:net';
import type { Clock } from '../lib/clock.ts';
import type { DataKeys } from '../storage/data-keys.ts';
import type { Counter, Throttles } from '../storage/throttles.ts';
import { usernameKey } from '../storage/users.ts';

/** How failures of one kind are answered. */
export interface ThrottlePolicy {
  /** Failures that cost nothing. */
  readonly free: number;
  /** The block doubles with each so many failures beyond. */
  readonly step: number;
  /** Milliseconds: the first block, and the longest. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** Milliseconds without a failure after which all is forgotten; longer than `longestMs`. */
  readonly quietMs: number;
}

const HOUR = 3_600_000;
/** 1 s, 2 s, 4 s … 15 min after five failures. */
const ACCOUNT: ThrottlePolicy = { free: 5, step: 1, firstMs: 1_000, longestMs: HOUR / 4, quietMs: HOUR };
/** Many people may share an address. */
const ADDRESS: ThrottlePolicy = { free: 50, step: 10, firstMs: 1_000, longestMs: HOUR / 4, quietMs: HOUR };

/** Milliseconds that the `failures`-th failure blocks. */
export function blockMs({ free, step, firstMs, longestMs }: ThrottlePolicy, failures: number): number {
  if (failures <= free) return 0;
  return Math.min(longestMs, firstMs * 2 ** Math.floor((failures - free - 1) / step));
}

/** The counters that an attempt is measured by; the first is the account's. */
export type Budgets = readonly [account: Counter, ...others: Counter[]];

/** A refusal; seconds, for Retry-After. */
export interface Throttled {
  readonly retryAfter: number;
}

/** One attempt to sign in. */
export interface LoginAttempt {
  /** As typed; whether it exists makes no difference. */
  readonly username: string;
  readonly ip: string;
  /** Names a device on which this user has signed in before: its one budget is its own, whatever its address. */
  readonly device?: string | undefined;
}

export interface Throttle {
  forLogin(attempt: LoginAttempt): Budgets;
  /** The step after the password: whoever guesses there has the password, so one budget for all devices. */
  forSecondFactor(userId: string, ip: string): Budgets;
  /**
   * Budgets of something else that can be guessed, such as a user code.
   * @param by beside the address, what whoever guesses must hold
   */
  forGuess(what: string, ip: string, by?: string): Budgets;
  /** The refusal, when one of the budgets is used up. */
  check(budgets: Budgets): Promise<Throttled | undefined>;
  /**
   * Counts a failure. A refusal means that parallel attempts used up the budget meanwhile: answer as throttled.
   */
  fail(budgets: Budgets): Promise<Throttled | undefined>;
  /** Clears the account's failures. A refusal means as in `fail`: answer as throttled, however right the password. */
  succeed(budgets: Budgets): Promise<Throttled | undefined>;
}

/** What an address is counted under: all of an IPv6 subnet is one (a host has 2^64 addresses to choose from). */
export function addressKey(ip: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1];
  if (mapped !== undefined || !isIPv6(ip)) return mapped ?? ip;
  const [head = '', tail] = (ip.split('%')[0] ?? '').toLowerCase().split('::');
  const groups = (part: string | undefined): string[] => part?.split(':').filter(Boolean) ?? [];
  const missing = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: Math.max(missing, 0) }, () => '0'), ...groups(tail)];
  return `${all
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}

export function createThrottle(
  store: Throttles,
  keys: DataKeys,
  clock: Clock,
  policies: { readonly account?: ThrottlePolicy; readonly address?: ThrottlePolicy } = {},
): Throttle {
  const counter = (policy: ThrottlePolicy, ...name: string[]): Counter => ({
    key: keys.hash('throttle', JSON.stringify(name)),
    blockMs: (failures) => blockMs(policy, failures),
    quietMs: policy.quietMs,
  });
  const { account = ACCOUNT, address = ADDRESS } = policies;
  const keysOf = (budgets: Budgets) => budgets.map(({ key }) => key);
  const refusal = (until: number | undefined): Throttled | undefined =>
    until === undefined ? undefined : { retryAfter: Math.max(1, Math.ceil((until - clock.now()) / 1000)) };
  return {
    forLogin: ({ username, ip, device }) =>
      device === undefined
        ? [counter(account, 'account', usernameKey(username)), counter(address, 'address', addressKey(ip))]
        : [counter(account, 'device', usernameKey(username), device)],
    forSecondFactor: (userId, ip) => [
      counter(account, 'second factor', userId),
      counter(address, 'address', addressKey(ip)),
    ],
    forGuess: (what, ip, by) => [
      counter(account, what, addressKey(ip)),
      ...(by === undefined ? [] : [counter(account, what, 'by', by)]),
    ],
    check: async (budgets) => refusal(await store.blockedUntil(keysOf(budgets))),
    fail: async (budgets) => refusal(await store.fail(budgets)),
    succeed: async (budgets) => refusal(await store.clear(budgets[0].key, keysOf(budgets))),
  };
}
