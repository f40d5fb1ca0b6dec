/**
 * Throttles guessing: counts failures, never successes, for each account and each address. To be asked before a
 * password is checked, and told afterwards; whoever signs people in calls it.
 */
import { isIPv6 } from 'node:net';
import type { Clock } from '../lib/clock.ts';
import type { DataKeys } from '../storage/data-keys.ts';
import type { Block, Counter, Throttles } from '../storage/throttles.ts';
import { usernameKey } from '../storage/users.ts';
import { createInFlight } from './in-flight.ts';

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
/** Of IPv6, a provider gives a customer 2^8 subnets, or 2^16 of them; others have a whole /48 of customers. */
const SITE: ThrottlePolicy = { ...ADDRESS, free: 200, step: 40 };

/** Password checks that may run or wait at once in this process, of the hundred that may. */
const AT_ONCE = { account: 10, address: 20, site: 40 } as const;

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
  /** Undefined when it is none, but too much at once. */
  readonly block?: Block;
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
  /**
   * Takes a place for the check of a password: so that neither an address nor guesses at one account take up the
   * whole queue. The caller gives it back.
   * @returns undefined when there is none, to be answered as throttled
   */
  enter(attempt: LoginAttempt): (() => void) | undefined;
  /** Whether this is the first refusal by its block, on whatever node: true for one caller. Others need no audit row. */
  first(refused: Throttled): Promise<boolean>;
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
export const addressKey = (ip: string): string => prefixOf(ip, 4) ?? ip;

/** The IPv6 site of an address; undefined for IPv4. */
export function siteKey(ip: string): string | undefined {
  const site = prefixOf(ip, 3);
  return site?.includes(':') ? site : undefined;
}

/** The first groups of an IPv6 address, or the IPv4 address in it; undefined for anything else. */
function prefixOf(ip: string, length: 3 | 4): string | undefined {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1];
  if (mapped !== undefined || !isIPv6(ip)) return mapped;
  const [head = '', tail] = (ip.split('%')[0] ?? '').toLowerCase().split('::');
  const groups = (part: string | undefined): string[] => part?.split(':').filter(Boolean) ?? [];
  const missing = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: Math.max(missing, 0) }, () => '0'), ...groups(tail)];
  return `${all
    .slice(0, length)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/${length * 16}`;
}

export function createThrottle(
  store: Throttles,
  keys: DataKeys,
  clock: Clock,
  policies: { readonly [P in 'account' | 'address' | 'site']?: ThrottlePolicy } = {},
): Throttle {
  const counter = (policy: ThrottlePolicy, ...name: string[]): Counter => ({
    key: keys.hash('throttle', JSON.stringify(name)),
    blockMs: (failures) => blockMs(policy, failures),
    quietMs: policy.quietMs,
  });
  const { account = ACCOUNT, address = ADDRESS, site = SITE } = policies;
  const inFlight = createInFlight();
  /** The counters of where a request comes from. */
  const places = (
    policy: ThrottlePolicy,
    wider: ThrottlePolicy,
    what: string,
    ip: string,
  ): [Counter, ...Counter[]] => {
    const around = siteKey(ip);
    return [
      counter(policy, what, addressKey(ip)),
      ...(around === undefined ? [] : [counter(wider, what, around)]),
    ];
  };
  const keysOf = (budgets: Budgets) => budgets.map(({ key }) => key);
  const refusal = (block: Block | undefined): Throttled | undefined =>
    block && { retryAfter: Math.max(1, Math.ceil((block.until - clock.now()) / 1000)), block };
  return {
    forLogin: ({ username, ip, device }) =>
      device === undefined
        ? [counter(account, 'account', usernameKey(username)), ...places(address, site, 'address', ip)]
        : [counter(account, 'device', usernameKey(username), device)],
    forSecondFactor: (userId, ip) => [
      counter(account, 'second factor', userId),
      ...places(address, site, 'address', ip),
    ],
    forGuess: (what, ip, by) => [
      ...places(account, address, what, ip),
      ...(by === undefined ? [] : [counter(account, what, 'by', by)]),
    ],
    enter({ username, ip, device }) {
      const around = siteKey(ip);
      return inFlight.enter([
        // Whoever guesses at an account does not keep its owner out, on a device that is known.
        [JSON.stringify(['account', usernameKey(username), device]), AT_ONCE.account],
        [JSON.stringify(['address', addressKey(ip)]), AT_ONCE.address],
        ...(around === undefined ? [] : [[JSON.stringify(['site', around]), AT_ONCE.site] as const]),
      ]);
    },
    async first({ block }) {
      if (!block) return false;
      const key = keys.hash('throttle notice', Buffer.from(block.key).toString('base64url'));
      if (await store.blocked([key])) return false;
      const left = Math.max(1, block.until - clock.now());
      return (await store.fail([{ key, blockMs: () => left, quietMs: left + 1 }])) === undefined;
    },
    check: async (budgets) => refusal(await store.blocked(keysOf(budgets))),
    fail: async (budgets) => refusal(await store.fail(budgets)),
    succeed: async (budgets) => refusal(await store.clear(budgets[0].key, keysOf(budgets))),
  };
}
