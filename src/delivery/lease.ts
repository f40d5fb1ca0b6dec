/**
 * The lease that lets one node do background work. The database's clock alone decides who has it, so clocks of nodes
 * may differ; a holder counts the time it has left by its own stopwatch, from before it asked. Work under it must
 * still be safe when two do it: a process that was paused may believe for a moment that it holds what has expired.
 */
import type { Leases } from '../storage/leases.ts';

/** Milliseconds: a holder that died is replaced this long, and one renewal, later. */
export const LEASE_TTL = 30_000;
/** Milliseconds between two attempts to take or prolong it. */
export const LEASE_RENEWAL = 10_000;

export interface Lease {
  /** Whether this node may work now. */
  held(): boolean;
  /** Takes or prolongs it. What cannot be asked is not held any longer than before. */
  renew(): Promise<boolean>;
  /** Gives it up, so that another node goes on at once. */
  release(): Promise<void>;
}

/**
 * @param holder tells this process from all others
 * @param elapsed milliseconds of a stopwatch that is never set back
 */
export function createLease(
  leases: Leases,
  {
    name,
    holder,
    elapsed,
  }: { readonly name: string; readonly holder: string; readonly elapsed: () => number },
): Lease {
  let until = -Infinity;
  const held = (): boolean => elapsed() < until;
  return {
    held,
    async renew() {
      const asked = elapsed();
      until = (await leases.take(name, holder, LEASE_TTL)) ? asked + LEASE_TTL : -Infinity;
      return held();
    },
    async release() {
      until = -Infinity;
      await leases.release(name, holder);
    },
  };
}
