/** Rotation of signing keys: by age in the background, and by admins. Carries out what `life-cycle.ts` decides. */
import type { Clock } from '../lib/clock.ts';
import { PortcullisError } from '../lib/errors.ts';
import type { Origin } from '../storage/origin.ts';
import type { SigningKey, SigningKeys } from '../storage/signing-keys.ts';
import type { CurrentKeys } from './current.ts';
import {
  advanceKeys,
  announceKey,
  agedAlgorithms,
  lifetimeOf,
  policyOf,
  publishKeys,
  replaceKeys,
  retireKey,
  somethingDue,
  type KeyPolicySettings,
  type NewKey,
} from './life-cycle.ts';
import { newSigningKey } from './ring.ts';

/** What admins do to signing keys. When a promise resolves, this node acts on the change. */
export interface KeyAdministration {
  /** Oldest first, those that are gone included. */
  list(): Promise<SigningKey[]>;
  /**
   * Makes a new key for each of `algorithms`, or for every one that is in use: published now, it signs once every
   * cache knows it. `immediate`: it signs now, and all before it leave; what they have signed is inactive.
   * @throws PortcullisError `too_many_keys` (409)
   */
  rotate(algorithms: readonly string[] | undefined, immediate: boolean, by: Origin): Promise<SigningKey[]>;
  /**
   * Takes a key out at once: what it signed is inactive. The active one is replaced. Idempotent.
   * @throws PortcullisError `not_found` (404)
   */
  retire(kid: string, by: Origin): Promise<SigningKey>;
}

export interface KeyRotation extends KeyAdministration {
  /** Makes a first key of an algorithm that an API or client asks for. It is published when the promise resolves. */
  need(alg: string): Promise<void>;
  /** Does what is due by now. To be called often: it asks the database only when something is. */
  advance(): Promise<void>;
}

export function createKeyRotation(
  store: SigningKeys,
  current: CurrentKeys,
  settings: KeyPolicySettings,
  clock: Clock,
): KeyRotation {
  const policy = async () => policyOf(settings, await store.longestTokenTtl());
  const change = async (plan: Parameters<SigningKeys['change']>[0], by: Origin): Promise<SigningKey[]> => {
    const keys = await store.change(plan, by);
    await current.reload();
    return keys;
  };
  const newKey = (alg: string): Promise<NewKey> => newSigningKey(alg, lifetimeOf(settings));
  const make = (algorithms: readonly string[]): Promise<NewKey[]> => Promise.all(algorithms.map(newKey));
  return {
    list: store.list,
    async rotate(algorithms, immediate, by) {
      // The first key of an algorithm may sign ID tokens while it waits: it is not forgotten when all are to go.
      const made = await make(algorithms ?? (immediate ? current.announced : current.algorithms));
      const now = clock.now();
      const plan = immediate ? replaceKeys(made, now) : publishKeys(made, now, await policy());
      const keys = await change(plan, by);
      return keys.filter(({ kid }) => made.some((key) => key.kid === kid));
    },
    async retire(kid, by) {
      const known = (await store.list()).find((key) => key.kid === kid);
      if (!known) throw new PortcullisError('not_found', 404, 'There is no such key.');
      if (known.status === 'retired') return known;
      // It may be the active one by the time of the change: a replacement is at hand in any case.
      const replacement = await newKey(known.alg);
      const keys = await change(retireKey(kid, replacement, clock.now()), by);
      return keys.find((key) => key.kid === kid) ?? known;
    },
    async need(alg) {
      if (current.announced.includes(alg)) return;
      const plan = announceKey(await newKey(alg), clock.now(), await policy());
      await change(plan, { actor: 'system' });
    },
    async advance() {
      const now = clock.now();
      // What is due does not hang on the lifetimes of tokens.
      const rough = policyOf(settings, 0);
      if (!somethingDue(current.keys, now, rough)) return;
      const made = await make(agedAlgorithms(current.keys, now, rough));
      await change(advanceKeys(made, now, await policy()), { actor: 'system' });
    },
  };
}
