/** Health: live says that the process answers, ready that it can do its work. */
import type { Context } from 'koa';
import type { Sight } from '../storage/following.ts';

/** What ready looks at. */
export interface Readiness {
  /** The database answers. */
  database(): Promise<boolean>;
  /** Its tables are those of this release. */
  migrations(): Promise<boolean>;
  /** There is an active signing key. */
  keys(): boolean;
  readonly sight: Sight;
  /** The server is on its way out. */
  draining(): boolean;
}

export interface Health {
  /** @param probe `live` or `ready` */
  answer(ctx: Context, probe: string): Promise<void>;
  /** The checks by name, true = good. */
  checks(): Promise<Record<string, boolean>>;
}

/** Milliseconds: a database that takes longer to say that it is there is of no use. */
const PATIENCE_MS = 2_000;

/** False when `check` fails, or takes too long: a probe is not kept waiting. */
const soon = (check: Promise<boolean>): Promise<boolean> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, PATIENCE_MS, false);
    void check
      .catch(() => false)
      .then((good) => {
        clearTimeout(timer);
        resolve(good);
      });
  });

export function createHealth(readiness: Readiness): Health {
  const checks = async (): Promise<Record<string, boolean>> => {
    const [database, migrations] = await Promise.all([
      soon(readiness.database()),
      soon(readiness.migrations()),
    ]);
    return {
      database,
      migrations,
      signing_keys: readiness.keys(),
      secret_keys: readiness.sight.complete(),
      changes: readiness.sight.current(),
      not_draining: !readiness.draining(),
    };
  };
  return {
    checks,
    async answer(ctx, probe) {
      ctx.set('cache-control', 'no-store');
      // The public port says whether, not why: the management port has the detail.
      const ready = probe === 'live' || Object.values(await checks()).every(Boolean);
      ctx.status = ready ? 200 : 503;
      ctx.body = { status: ready ? 'ok' : 'unavailable' };
    },
  };
}
