/** Consents: what a user has allowed a client, and the generation that families copy. */
import type { Clock } from '../lib/clock.ts';
import { randomId } from '../lib/ids.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { Change, Changes } from './changes.ts';
import type { Database } from './database.ts';

/** Scope names by where they belong: '' holds OIDC's own, else the API's identifier. */
export type ConsentScopes = Readonly<Record<string, readonly string[]>>;

export interface Consent {
  readonly scopes: ConsentScopes;
  readonly generation: string;
}

export interface Consents {
  find(userId: string, clientId: string): Promise<Consent | undefined>;
  /** Adds scopes to what was allowed before, with its audit row, in one transaction or in that of `within`. */
  allow(
    userId: string,
    clientId: string,
    scopes: ConsentScopes,
    event: AuditEvent,
    within?: Change,
  ): Promise<void>;
  /** The user takes the app's access back: forgets the consent, and every family of both dies. Atomic. */
  revoke(userId: string, clientId: string, event: AuditEvent): Promise<void>;
}

interface Row {
  readonly scopes: string;
  readonly generation: string;
}

const parse = (row: Row): Consent => ({
  scopes: JSON.parse(row.scopes) as ConsentScopes,
  generation: row.generation,
});

/** The union of two records of scopes. */
export function mergeScopes(a: ConsentScopes, b: ConsentScopes): ConsentScopes {
  const merged = new Map(Object.entries(a));
  for (const [api, names] of Object.entries(b)) {
    merged.set(api, [...new Set([...(merged.get(api) ?? []), ...names])]);
  }
  return Object.fromEntries(merged);
}

const SELECT = `SELECT scopes, generation FROM consents WHERE user_id = $1 AND client_id = $2`;

export function createConsents({ sql, kind }: Database, clock: Clock, changes: Changes): Consents {
  const LOCK = kind === 'postgresql' ? ' FOR UPDATE' : '';
  return {
    async find(userId, clientId) {
      const [row] = await sql.read<Row>('consents.find', SELECT, [userId, clientId]);
      return row && parse(row);
    },
    async allow(userId, clientId, scopes, event, within) {
      const work = async ({ tx, record }: Change): Promise<void> => {
        await tx.write(
          'consents.ensure',
          `INSERT INTO consents (user_id, client_id, scopes, generation, created_at, updated_at)
           VALUES ($1, $2, '{}', $3, $4, $4) ON CONFLICT (user_id, client_id) DO NOTHING`,
          [userId, clientId, randomId(), clock.now()],
        );
        const [row] = await tx.read<Row>('consents.lock', `${SELECT}${LOCK}`, [userId, clientId]);
        if (!row) throw new Error('a consent that was just ensured is missing');
        await tx.write(
          'consents.allow',
          `UPDATE consents SET scopes = $3, updated_at = $4 WHERE user_id = $1 AND client_id = $2`,
          [userId, clientId, JSON.stringify(mergeScopes(parse(row).scopes, scopes)), clock.now()],
        );
        await record(event);
      };
      await (within ? work(within) : changes.raw(work));
    },
    revoke: (userId, clientId, event) =>
      changes.raw(async ({ tx, record }) => {
        await tx.write(
          'consents.revoke',
          `UPDATE consents SET scopes = '{}', generation = $3, updated_at = $4 WHERE user_id = $1 AND client_id = $2`,
          [userId, clientId, randomId(), clock.now()],
        );
        await record(event);
      }),
  };
}
