/**
 * What a process does beside answering: it follows the changes of other nodes and, while it holds the lease, does the
 * work that one node does for all. The app makes it.
 */
import type { Settings } from './config/schema.ts';
import { createLease, LEASE_RENEWAL } from './delivery/lease.ts';
import { sweep } from './grants/sweep.ts';
import type { CurrentKeys } from './keys/current.ts';
import type { KeyRotation } from './keys/rotation.ts';
import type { Clock } from './lib/clock.ts';
import { randomId } from './lib/ids.ts';
import type { Cached } from './storage/changes.ts';
import { isUnavailable, type Database } from './storage/database.ts';
import { expiringSecrets } from './storage/expiring-secrets.ts';
import type { Following } from './storage/following.ts';
import { createLeases } from './storage/leases.ts';
import { openNotifications } from './storage/notifications.ts';
import type { Sessions } from './storage/sessions.ts';
import { SWEEP_BATCH, sweepBatch } from './storage/sweep.ts';
import type { Logger } from './telemetry/logger.ts';
import type { Metrics } from './telemetry/metrics.ts';

/** Work for the node that holds the lease. It must be safe when, for a moment, two do it. */
export interface Duty {
  readonly name: string;
  /** Milliseconds of rest between two runs. */
  readonly every: number;
  /** @param goOn asked between steps: whether this node still is the one */
  run(goOn: () => boolean): Promise<void>;
}

export interface BackgroundDependencies {
  readonly settings: Pick<Settings, 'databaseUrl' | 'issuer' | 'auditRetentionDays'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'watchKeys' | 'expiringSecrets'>;
  readonly storage: {
    readonly database: Database;
    readonly sessions: Pick<Sessions, 'sweep'>;
  };
  readonly following: Following;
  /** Milliseconds of a stopwatch that is never set back. */
  readonly elapsed: () => number;
  readonly keys: Pick<CurrentKeys, 'keys'>;
  readonly rotation: Pick<KeyRotation, 'advance'>;
  /** Forget what this node remembers. */
  readonly forget: Readonly<Record<(typeof FORGOTTEN)[number], () => void>>;
  /** Beside the sweep and the rotation of keys. */
  readonly duties?: readonly Duty[];
}

export interface Background {
  /** To be called after each commit that bumped a counter: this node forgets at once, the others soon. */
  bumped(what: Cached): void;
  /** Finishes the step under way, and lets another node have the lease. */
  stop(): Promise<void>;
}

/** Milliseconds between two looks at what other nodes have changed: half of what a revocation may take to arrive. */
const LOOK = 500;
/** Milliseconds between two sweeps, once nothing was due. */
const SWEEP_REST = 60_000;
const KEY_REST = 500;
const SECRETS_REST = 60_000;
const LEASE = 'background';

/** What is read again when it is needed; the rest is read at once. */
const FORGOTTEN = ['clients', 'apis'] as const satisfies Cached[];

export function startBackground(dependencies: BackgroundDependencies): Background {
  const { settings, clock, logger, storage, following, elapsed, keys, rotation, forget } = dependencies;
  const { database } = storage;
  let stopped = false;
  const notifications = openNotifications(database, {
    url: settings.databaseUrl,
    onNotice: () => looking.soon(),
    onUnsupported: (reason) =>
      logger.info({ event: 'notifications.unsupported', reason }, 'changes of other nodes are polled only'),
  });

  dependencies.metrics.watchKeys(() =>
    keys.keys.map(({ kid, status, createdAt }) => ({
      kid,
      status,
      ageSeconds: (clock.now() - createdAt) / 1000,
    })),
  );

  /** A node that cannot read what others write would fail at the work of all. */
  const able = (): boolean => following.current() && following.complete();
  let wasAble = true;
  const looking = repeat(LOOK, async () => {
    await following.look();
    if (able() !== wasAble) renewing.soon();
    wasAble = able();
  });

  const leases = createLeases(database);
  const holder = `${randomId()} ${settings.issuer}`;
  const lease = createLease(leases, { name: LEASE, holder, elapsed });
  const goOn = (): boolean => !stopped && lease.held() && able();
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      // An outage is told once, above.
      logger[isUnavailable(error) ? 'debug' : 'error']({ err: error, duty: what }, 'background work failed');
    }
  };
  const own: readonly Duty[] = [
    { name: 'keys', every: KEY_REST, run: () => rotation.advance() },
    {
      name: 'secrets',
      every: SECRETS_REST,
      run: async () => dependencies.metrics.expiringSecrets(await expiringSecrets(database, clock)),
    },
    {
      name: 'sweep',
      every: SWEEP_REST,
      run: (more) =>
        sweepAll(() => sweepBatch(database, clock, storage.sessions, settings.auditRetentionDays), more),
    },
  ];
  const duties = [...own, ...(dependencies.duties ?? [])].map(({ name, every, run }) =>
    repeat(every, async () => {
      if (goOn()) await attempt(name, () => run(goOn));
    }),
  );
  let otherIssuer = settings.issuer;
  /** Tokens of one node would be nothing to the other. */
  async function compareIssuers(): Promise<void> {
    const [, other = otherIssuer] = (await leases.holder(LEASE))?.split(' ') ?? [];
    if (other !== otherIssuer && other !== settings.issuer)
      logger.warn(
        { event: 'issuer.differs', issuer: settings.issuer, other },
        'another node uses this database as another issuer: PORTCULLIS_ISSUER must be the same on all',
      );
    otherIssuer = other;
  }
  const renewing = repeat(LEASE_RENEWAL, () =>
    attempt('lease', async () => {
      const before = lease.held();
      if (!able()) {
        if (!before) return;
        logger.info({ event: 'background.left' }, 'this process leaves the background work to another one');
        return lease.release();
      }
      if (!(await lease.renew())) return compareIssuers();
      if (before) return;
      logger.info({ event: 'background.taken' }, 'this process does the background work now');
      for (const duty of duties) duty.soon();
    }),
  );
  for (const loop of [looking, renewing]) loop.soon();

  return {
    bumped(what) {
      for (const each of FORGOTTEN) if (each === what) forget[each]();
      notifications.send();
    },
    async stop() {
      stopped = true;
      await Promise.all([looking, renewing, ...duties].map((loop) => loop.stop()));
      await Promise.all([attempt('lease', () => lease.release()), notifications.close()]);
    },
  };
}

/** Sweeps until nothing is due. */
async function sweepAll(batch: Parameters<typeof sweep>[0], goOn: () => boolean): Promise<void> {
  for (;;) {
    const counts = await sweep(batch, goOn);
    if (!goOn() || Object.values(counts).every((count: number) => count < SWEEP_BATCH)) return;
  }
}

interface Loop {
  /** Runs a round now, or right after the one under way. */
  soon(): void;
  /** No round begins any more; resolves when the one under way has ended. */
  stop(): Promise<void>;
}

/** Rounds that never overlap, with a rest between them; it begins with `soon`. A round must not throw. */
function repeat(rest: number, round: () => Promise<void>): Loop {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let [again, stopped] = [false, false];
  const run = (): void => {
    clearTimeout(timer);
    again = false;
    running = round().finally(() => {
      running = undefined;
      if (!stopped) timer = setTimeout(run, again ? 0 : rest).unref();
    });
  };
  return {
    soon() {
      if (running) again = true;
      else if (!stopped) run();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
