/** A lane for each receiver, so that a slow one holds up no other; and how often what was not taken is tried again. */
import { isUnavailable } from '../storage/database.ts';
import type { Logger } from '../telemetry/logger.ts';

/** Attempts until something is given up. */
export const MAX_ATTEMPTS = 10;
const FIRST_BACKOFF = 5_000;
const LONGEST_BACKOFF = 12 * 3_600_000;

/** Milliseconds until the next attempt: 5 s, 20 s, 80 s … 12 h, a day and a half in all. */
export const backoff = (attempts: number): number =>
  Math.min(LONGEST_BACKOFF, FIRST_BACKOFF * 4 ** (attempts - 1));

/** Sendings to one receiver at a time. */
export const AT_ONCE = 10;

/** Sends what is due, at least once, in no fixed order. The node that holds the lease runs it. */
export interface Deliverer {
  readonly name: string;
  /** Milliseconds between two looks. */
  readonly every: number;
  /** Begins with every receiver that something is due for, and does not wait for the end. */
  run(goOn: () => boolean): Promise<void>;
  /** Resolves when no attempt is under way. */
  idle(): Promise<void>;
}

/**
 * @param due ids of the receivers that something is due for
 * @param send takes what is due for one, `AT_ONCE` at most, and tries it; false: nothing was due
 */
export function createLanes(lanesOf: {
  readonly name: string;
  readonly due: () => Promise<readonly string[]>;
  readonly send: (receiver: string) => Promise<boolean>;
  readonly logger: Logger;
}): Deliverer {
  const { name, due, send, logger } = lanesOf;
  const lanes = new Map<string, Promise<void>>();

  async function lane(receiver: string, goOn: () => boolean): Promise<void> {
    while (goOn() && (await send(receiver)));
  }

  return {
    name,
    every: 1_000,
    async run(goOn) {
      for (const id of await due()) {
        if (lanes.has(id)) continue;
        const done = lane(id, goOn)
          .catch((error: unknown) => {
            // An outage of the database is told elsewhere; what was claimed is due again after a while.
            const level = isUnavailable(error) ? 'debug' : 'error';
            logger[level]({ err: error, duty: name, receiver: id }, 'delivery failed');
          })
          .finally(() => lanes.delete(id));
        lanes.set(id, done);
      }
    },
    async idle() {
      await Promise.all(lanes.values());
    },
  };
}
