/** The cap on a user's families: the oldest end in the transaction of a new one's first refresh token. For `families.ts`. */
import type { Clock } from '../lib/clock.ts';
import type { EventOf } from '../telemetry/events.ts';
import { ALIVE, ALIVE_JOINS, aliveParam } from './alive.ts';
import type { Change } from './changes.ts';
import type { Database } from './database.ts';

/** How many families with a refresh token a user may have; 0 = no cap. */
export interface FamilyCaps {
  readonly userId: string;
  readonly clientId: string;
  /** Over all clients. */
  readonly perUser: number;
  /** With this client. */
  readonly perClient: number;
  /** The audit row of a family that ends for it. */
  readonly event: (ended: {
    readonly grantId: string;
    readonly clientId: string;
  }) => EventOf<'grant.revoked'>;
}

/** The reason of a family that ended for a cap. */
export const CAP_REASON = 'max_families';

/** Families that one new one ends at most: a cap that was lowered is reached in steps. */
const MOST = 1000;

const inOrder = ` ORDER BY f.created_at DESC, f.id DESC LIMIT ${MOST} OFFSET $4`;

/**
 * The locked user's families are counted by one transaction at a time: parallel sign-ins cannot exceed a cap. To be
 * called before anything else is written, so that locks are always taken in one order.
 */
export async function lockUser({ tx }: Change, { kind }: Database, userId: string): Promise<void> {
  // SQLite has one writer at a time.
  if (kind === 'postgresql') {
    await tx.read('families.cap-lock', `SELECT id FROM users WHERE id = $1 FOR UPDATE`, [userId]);
  }
}

/** Makes room for `newId`, which counts whether or not it has its token yet. Needs `lockUser`. */
export async function endOldest(
  { tx, record }: Change,
  clock: Clock,
  newId: string,
  caps: FamilyCaps,
): Promise<void> {
  const { userId, clientId, perUser, perClient, event } = caps;
  const OTHERS = `SELECT f.id, f.client_id AS "clientId" FROM families f ${ALIVE_JOINS}
    WHERE f.user_id = $1 AND ${ALIVE} AND f.id <> $3 AND f.current IS NOT NULL AND f.ends_at > $2
    AND f.idle_ends_at > $2`;
  const over = async (name: string, condition: string, cap: number, more: string[] = []): Promise<void> => {
    if (cap === 0) return;
    const rows = await tx.read<{ id: string; clientId: string }>(name, OTHERS + condition + inOrder, [
      userId,
      aliveParam(clock),
      newId,
      cap - 1,
      ...more,
    ]);
    for (const row of rows) {
      const { count } = await tx.write(
        'families.end-oldest',
        `UPDATE families SET dead_at = $2, dead_reason = $3 WHERE id = $1 AND dead_at IS NULL`,
        [row.id, clock.now(), CAP_REASON],
      );
      if (count === 1) await record(event({ grantId: row.id, clientId: row.clientId }));
    }
  };
  await over('families.over-client-cap', ' AND f.client_id = $5', perClient, [clientId]);
  await over('families.over-user-cap', '', perUser);
}
