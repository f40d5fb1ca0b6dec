/** The keys in use on this node: whoever holds this object follows every rotation. The app makes it, once. */
import type { SigningKeys } from '../storage/signing-keys.ts';
import type { Clock } from '../lib/clock.ts';
import { firstKeys, lifetimeOf, type KeyPolicySettings } from './life-cycle.ts';
import { createKeyRing, newSigningKey, STANDARD_ALGORITHMS, type KeyRing } from './ring.ts';

/** A ring whose members are always those of the newest ring that this node knows. */
export interface CurrentKeys extends KeyRing {
  /** The newest ring; it does not change. */
  ring(): KeyRing;
  /** Reads the keys again. Resolves when this node signs, publishes and verifies with what the database held. */
  reload(): Promise<void>;
  /** Calls `follow` with each new ring, before anybody waiting for `reload` goes on. */
  follow(follow: (ring: KeyRing) => void): void;
}

/**
 * Makes the first keys where there are none, and reads them. Keys that sign bear a note of how long this node's tokens
 * live: they must outlive them, whatever the settings say by then.
 */
export async function openCurrentKeys(
  store: SigningKeys,
  settings: KeyPolicySettings,
  clock: Clock,
): Promise<CurrentKeys> {
  const lifetime = lifetimeOf(settings);
  const open = async () => {
    const records = await store.open();
    if (records.some(({ status, longestTtl }) => status === 'active' && longestTtl < lifetime))
      await store.note(lifetime);
    return records;
  };
  let records = await open();
  if (records.length === 0) {
    const made = await Promise.all(STANDARD_ALGORITHMS.map((alg) => newSigningKey(alg, lifetime)));
    await store.change(firstKeys(made, clock.now()), { actor: 'system' });
    records = await open();
  }
  let current = createKeyRing(records);
  const followers: ((ring: KeyRing) => void)[] = [];
  let reading: Promise<void> = Promise.resolve();

  async function read(): Promise<void> {
    const ring = createKeyRing(await open());
    if (stateOf(ring) === stateOf(current)) return;
    for (const follow of followers) follow(ring);
    current = ring; // last: what a follower could not do is tried again by the next read
  }
  return {
    get jwks() {
      return current.jwks;
    },
    get publicJwks() {
      return current.publicJwks;
    },
    get keys() {
      return current.keys;
    },
    get algorithms() {
      return current.algorithms;
    },
    get announced() {
      return current.announced;
    },
    verifier: (kid) => current.verifier(kid),
    ring: () => current,
    reload() {
      // One after another: a read that began earlier must not undo a later one.
      reading = reading.then(read, read);
      return reading;
    },
    follow: (follow) => void followers.push(follow),
  };
}

const stateOf = ({ keys }: KeyRing): string => JSON.stringify(keys);
