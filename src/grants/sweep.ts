/** The background sweep: takes away what has expired, batch after batch, until little is left or the time is up. */
import { SWEEP_BATCH, type SweepCounts } from '../storage/sweep.ts';

/** Batches of one run at most: the next run goes on. */
const MAX_BATCHES = 100;

/**
 * Runs batches until one is not full.
 * @param batch runs one, see `storage/sweep.ts`
 * @param goOn asked between batches: whether this node still is the one to sweep
 * @returns the sum of what was taken away
 */
export async function sweep(
  batch: () => Promise<SweepCounts>,
  goOn: () => boolean = () => true,
): Promise<SweepCounts> {
  let total: SweepCounts = {
    families: 0,
    looked: 0,
    artifacts: 0,
    deniedTokens: 0,
    sessions: 0,
    throttles: 0,
    outbox: 0,
    logoutNotices: 0,
    auditEvents: 0,
  };
  for (let batches = 0; batches < MAX_BATCHES && (batches === 0 || goOn()); batches++) {
    const counts = await batch();
    total = {
      families: total.families + counts.families,
      looked: total.looked + counts.looked,
      artifacts: total.artifacts + counts.artifacts,
      deniedTokens: total.deniedTokens + counts.deniedTokens,
      sessions: total.sessions + counts.sessions,
      throttles: total.throttles + counts.throttles,
      outbox: total.outbox + counts.outbox,
      logoutNotices: total.logoutNotices + counts.logoutNotices,
      auditEvents: total.auditEvents + counts.auditEvents,
    };
    const { families, looked, ...others } = counts;
    if ([families + looked, ...Object.values(others)].every((count) => count < SWEEP_BATCH)) break;
  }
  return total;
}
