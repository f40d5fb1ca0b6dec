/**
 * The life of a signing key, as pure functions of all keys and an instant: pending (published, so that every cache
 * knows it) → active (signs) → retiring (published while what it signed is of use) → retired (gone). `rotation.ts`
 * carries out what they answer. Instants are epoch milliseconds.
 */
import { PortcullisError } from '../lib/errors.ts';
import type { KeyPlan, KeyStatus, KeyStep, SigningKey, SigningKeyRecord } from '../storage/signing-keys.ts';

/** Periods in milliseconds. */
export interface KeyPolicy {
  /** From publishing a key to its first signature: every node has noticed it, and every cached JWKS has it. */
  readonly lead: number;
  /** From the first signature of its successor until every node has noticed it. */
  readonly poll: number;
  /** From then on to the end of a key: what it signed is of use that long. */
  readonly retention: number;
  /** Age at which a successor is made. */
  readonly maxAge: number;
}

/** A new key of one algorithm, not yet kept. */
export type NewKey = Pick<SigningKeyRecord, 'kid' | 'alg' | 'privateJwk' | 'longestTtl'>;

/** New keys of one algorithm that wait for their turn at once, at most. */
const MAX_PENDING = 5;

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** The settings that a policy follows from; seconds, and days. */
export interface KeyPolicySettings {
  readonly jwksMaxAge: number;
  readonly keyPollSeconds: number;
  readonly keyRotationDays: number;
  readonly accessTokenTtl: number;
  readonly sessionMaxTtl: number;
}

/**
 * What must outlive the last signature of a key whatever APIs and clients say, in seconds: access tokens, ID tokens
 * (an hour), and ID tokens as hints at /logout. A hint is of use as long as the session that it names; were that not
 * bounded by the rotation period, keys that are rotated daily would pile up in the JWKS. A day at least.
 */
export const lifetimeOf = (settings: KeyPolicySettings): number =>
  Math.max(
    settings.accessTokenTtl,
    Math.min(settings.sessionMaxTtl, (settings.keyRotationDays * DAY) / 1000),
    DAY / 1000,
  );

/** @param longestTtl the longest lifetime of access tokens that an API or client names, in seconds */
export function policyOf(settings: KeyPolicySettings, longestTtl: number): KeyPolicy {
  const poll = settings.keyPollSeconds * 1000;
  return {
    lead: settings.jwksMaxAge * 1000 + poll,
    poll,
    retention: Math.max(lifetimeOf(settings), longestTtl) * 1000,
    maxAge: settings.keyRotationDays * DAY,
  };
}

const record = (key: NewKey, status: 'pending' | 'active', now: number, from: number): SigningKeyRecord => ({
  ...key,
  status,
  createdAt: now,
  activeFrom: from,
  retiresAt: undefined,
});

const retired = (keys: readonly SigningKey[], now: number): KeyStep[] =>
  keys.map(({ kid }) => ({ kid, status: 'retired', at: now }));

/** The first keys of a server; nothing where there are some. */
export const firstKeys =
  (made: readonly NewKey[], now: number) =>
  (keys: readonly SigningKey[]): KeyPlan =>
    keys.length > 0 ? {} : { add: made.map((key) => record(key, 'active', now, now)) };

/**
 * Publishes new keys; each signs after the lead.
 * @throws PortcullisError `too_many_keys` (409) from the plan
 */
export const publishKeys =
  (made: readonly NewKey[], now: number, { lead }: KeyPolicy) =>
  (keys: readonly SigningKey[]): KeyPlan => {
    for (const { alg } of made) {
      if (keys.filter((key) => key.alg === alg && key.status === 'pending').length >= MAX_PENDING) {
        throw new PortcullisError(
          'too_many_keys',
          409,
          `${MAX_PENDING} new ${alg} keys wait for their turn already.`,
        );
      }
    }
    return { add: made.map((key) => record(key, 'pending', now, now + lead)) };
  };

/** Publishes a first key of its algorithm; nothing where one signs or waits. */
export const announceKey =
  (made: NewKey, now: number, policy: KeyPolicy) =>
  (keys: readonly SigningKey[]): KeyPlan =>
    keys.some(({ alg, status }) => alg === made.alg && (status === 'active' || status === 'pending'))
      ? {}
      : publishKeys([made], now, policy)(keys);

/**
 * New keys that sign at once. All others of their algorithms leave at once, those that wait and those that have signed
 * before included: whoever got at the one may have got at the others.
 * @param spared statuses that nobody got at
 */
export const replaceKeys =
  (made: readonly NewKey[], now: number, spared: readonly KeyStatus[] = []) =>
  (keys: readonly SigningKey[]): KeyPlan => ({
    add: made.map((key) => record(key, 'active', now, now)),
    steps: retired(
      keys.filter(
        ({ alg, status }) =>
          status !== 'retired' && !spared.includes(status) && made.some((key) => key.alg === alg),
      ),
      now,
    ),
  });

/**
 * Takes one key out at once; the active one, or the first of its algorithm, is replaced.
 * @throws PortcullisError `not_found` (404) from the plan
 */
export const retireKey =
  (kid: string, replacement: NewKey, now: number) =>
  (keys: readonly SigningKey[]): KeyPlan => {
    const key = keys.find((each) => each.kid === kid);
    if (!key) throw new PortcullisError('not_found', 404, 'There is no such key.');
    if (key.status === 'retired') return {};
    const signs = keys.find(({ alg, status }) => alg === key.alg && status === 'active') ?? key;
    return signs === key
      ? replaceKeys([replacement], now, ['retiring'])(keys)
      : { steps: retired([key], now) };
  };

/** Algorithms whose active key has reached its age, and has no successor waiting. */
export const agedAlgorithms = (keys: readonly SigningKey[], now: number, { maxAge }: KeyPolicy): string[] =>
  keys
    .filter(
      ({ alg, status, activeFrom }) =>
        status === 'active' &&
        activeFrom + maxAge <= now &&
        !keys.some((key) => key.alg === alg && key.status === 'pending'),
    )
    .map(({ alg }) => alg);

const isDue = (now: number) => (key: SigningKey) =>
  (key.status === 'pending' && key.activeFrom <= now) ||
  (key.status === 'retiring' && (key.retiresAt ?? Infinity) <= now);

/** Whether `advanceKeys` has something to do. */
export const somethingDue = (keys: readonly SigningKey[], now: number, policy: KeyPolicy): boolean =>
  keys.some(isDue(now)) || agedAlgorithms(keys, now, policy).length > 0;

/**
 * Everything that is due: keys that waited long enough sign, the ones before them retire later, those whose time is
 * up are gone, and old ones get a successor.
 * @param made one for each aged algorithm; one that is not needed any more is left
 */
export const advanceKeys =
  (made: readonly NewKey[], now: number, policy: KeyPolicy) =>
  (keys: readonly SigningKey[]): KeyPlan => {
    const due = keys.filter(isDue(now));
    const steps = retired(
      due.filter(({ status }) => status === 'retiring'),
      now,
    );
    for (const [alg, waited] of Map.groupBy(
      due.filter(({ status }) => status === 'pending'),
      (key) => key.alg,
    )) {
      // Several when nobody looked for long: the newest signs, the others never did.
      const [next, ...skipped] = waited.toSorted(
        (a, b) => b.activeFrom - a.activeFrom || b.createdAt - a.createdAt,
      );
      const before = keys.filter((key) => key.alg === alg && key.status === 'active');
      steps.push(
        ...before.map(({ kid, longestTtl }) => {
          const at = now + policy.poll + Math.max(policy.retention, longestTtl * 1000);
          return { kid, status: 'retiring', at } as const;
        }),
        ...(next ? [{ kid: next.kid, status: 'active', at: now } as const] : []),
        ...retired(skipped, now),
      );
    }
    const aged = agedAlgorithms(keys, now, policy);
    return {
      add: made
        .filter(({ alg }) => aged.includes(alg))
        .map((key) => record(key, 'pending', now, now + policy.lead)),
      steps,
    };
  };
