/**
 * Follows what other nodes write: rereads what has changed, and tells for how long nothing could be seen. Whoever
 * answers, signs or does the work of all asks whether this node still may: what it cannot see, it cannot know.
 */
import { PortcullisError, StartError } from '../lib/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Cached } from './changes.ts';
import { isUnavailable } from './failures.ts';

/** Milliseconds that a node goes on with what it knows, while it cannot see what others change. */
export const BLIND_AFTER = 5_000;

/** Milliseconds for one look: a single connection that hangs must not make the node blind. */
const PATIENCE = 3_000;
/**
 * Milliseconds that it goes on although the signing keys, which it sees have changed or are due, cannot be read again:
 * they wait for a connection like everything else, so a busy node is late with them.
 */
const KEYS_UNREAD = 30_000;
/** Milliseconds between two lines of the log about what has not ended. */
const REMINDER = 60_000;

/** How well this node knows what others have written. */
export interface Sight {
  /** It has seen whatever was changed up to `BLIND_AFTER` ago. */
  current(): boolean;
  /** It has every secret key that the database's keys are wrapped under. */
  complete(): boolean;
}

export interface Following extends Sight {
  /** Looks for changes, and rereads what has changed. Never throws: what went wrong is logged, and tried again next time. */
  look(): Promise<void>;
}

export interface FollowingOptions {
  /** Asked on a connection of its own: a node whose requests wait for theirs is busy, not blind. */
  readonly counters: () => Promise<ReadonlyMap<string, number>>;
  /** Forgets or rereads what this node keeps; in this order. `data-keys` throws StartError when a secret key is missing. */
  readonly reread: Readonly<Record<Cached, () => unknown>>;
  /** Seconds after which the signing keys are read again, changed or not. */
  readonly keyPollSeconds: number;
  /** Milliseconds of a stopwatch that is never set back. */
  readonly elapsed: () => number;
  readonly logger: Logger;
}

/** The refusal of a request by a node that is not `current`. */
export const unseen = (): PortcullisError =>
  new PortcullisError(
    'temporarily_unavailable',
    503,
    'The server cannot see its newest data, try again shortly.',
    {
      retryAfter: 1,
      reason: `the changes of other nodes have not been seen for ${BLIND_AFTER / 1000} seconds`,
    },
  );

/** To be made right after everything was read for the first time. */
export function createFollowing(options: FollowingOptions): Following {
  const { counters, reread, elapsed, logger } = options;
  const seen = new Map<string, number | undefined>(); // at first everything counts as changed
  let [seenAt, keysRead] = [elapsed(), -Infinity];
  let lost = false;
  let missing: string | undefined;
  let keysUnreadSince: number | undefined;
  const [missingTold, blindTold, unreadTold] = [1, 2, 3].map(() => createReminder(elapsed)) as [
    Reminder,
    Reminder,
    Reminder,
  ];
  const current = (): boolean => elapsed() - seenAt < BLIND_AFTER;

  async function rereadDataKeys(): Promise<void> {
    try {
      await reread['data-keys']();
      if (missing !== undefined)
        logger.info({ event: 'data_keys.complete' }, 'no secret key is missing any more');
      missing = undefined;
      missingTold.over();
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      missing = error.message;
      if (missingTold.due())
        logger.error(
          { event: 'data_keys.missing', reason: missing },
          'a secret key is missing: put it into PORTCULLIS_SECRET_KEYS and start this node anew; ' +
            'until then it is not ready, and leaves background work to others',
        );
    }
  }

  async function follow(): Promise<void> {
    const now = await inTime(counters());
    let blinding: unknown;
    for (const what of Object.keys(reread) as Cached[]) {
      const due =
        now.get(what) !== seen.get(what) ||
        !seen.has(what) ||
        (what === 'keys' && elapsed() - keysRead >= options.keyPollSeconds * 1000) ||
        (what === 'data-keys' && missing !== undefined);
      if (!due) continue;
      try {
        await (what === 'data-keys' ? rereadDataKeys() : reread[what]());
        seen.set(what, now.get(what));
        if (what === 'keys') [keysRead, keysUnreadSince] = [elapsed(), undefined];
      } catch (error) {
        seen.delete(what);
        if (unreadTold.due())
          logger.error({ event: 'changes.unread', what, err: error }, `changed ${what} cannot be read again`);
        if (isBlinding(what, error)) blinding ??= error;
      }
    }
    if (blinding !== undefined) throw blinding as Error;
  }

  /**
   * Whether a node that could not reread this knows too little to answer: it lacks a secret key, or is late with the
   * signing keys for long. A row that was damaged is no reason for every node to stop.
   */
  function isBlinding(what: Cached, error: unknown): boolean {
    if (missing !== undefined) return what === 'keys' || what === 'data-keys';
    if (what !== 'keys' || !isUnavailable(error)) return false;
    keysUnreadSince ??= elapsed();
    return elapsed() - keysUnreadSince >= KEYS_UNREAD;
  }

  return {
    current,
    complete: () => missing === undefined,
    async look() {
      const began = elapsed();
      try {
        await follow();
        seenAt = began;
        blindTold.over();
        if (lost) logger.info({ event: 'database.back' }, 'the changes of other nodes are seen again');
        lost = false;
      } catch (error) {
        const event = isUnavailable(error) && missing === undefined ? 'database.lost' : 'changes.lost';
        if (!lost) logger.error({ event, err: error }, 'the changes of other nodes cannot be seen');
        lost = true;
        if (!current() && blindTold.due())
          logger.error(
            { event: 'changes.unseen', err: error, reason: missing },
            `the changes of other nodes have not been seen for ${BLIND_AFTER / 1000} seconds: ` +
              'requests are refused with 503 and background work is left to others until they are',
          );
      }
    },
  };
}

interface Reminder {
  due(): boolean;
  over(): void;
}

/** Says when it is time to say again what has not ended. */
function createReminder(elapsed: () => number): Reminder {
  let told = -Infinity;
  return {
    due() {
      if (elapsed() - told < REMINDER) return false;
      told = elapsed();
      return true;
    },
    over: () => void (told = -Infinity),
  };
}

/** @throws PortcullisError `database_unavailable` after `PATIENCE` */
function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new PortcullisError('database_unavailable', 503, 'The database does not answer.')),
      PATIENCE,
    );
  });
  return Promise.race([work, limit]).finally(() => clearTimeout(timer));
}
