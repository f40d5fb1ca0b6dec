/**
 * Families: a grant together with its refresh token, one row from the authorization code to the end.
 * A refresh is one read and one conditional update; whoever changed no row has lost.
 */
import type { Clock } from '../lib/clock.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import { ALIVE, ALIVE_JOINS, aliveParam } from './alive.ts';
import type { Artifacts } from './artifacts.ts';
import type { Change, Changes } from './changes.ts';
import type { DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';
import { endOldest, lockUser, type FamilyCaps } from './family-caps.ts';
import { sealContext } from './sealed-columns.ts';
import { userColumns, userFromColumns, type UserColumns, type UserRecord } from './user-record.ts';

/** A family as read for one request; instants are epoch milliseconds. */
export interface Family {
  readonly id: string;
  readonly userId: string;
  readonly clientId: string;
  readonly sessionUid: string | undefined;
  readonly grant: Record<string, unknown>;
  readonly token: Record<string, unknown> | undefined;
  readonly current: Uint8Array | undefined;
  readonly previous: Uint8Array | undefined;
  readonly successor: Uint8Array | undefined;
  /** Milliseconds since the last rotation, by the database's clock. */
  readonly sinceRotation: number | undefined;
  readonly endsAt: number;
  readonly idleEndsAt: number | undefined;
  readonly accessEndsAt: number | undefined;
  /** Not revoked in any way; whether it has ended by time is for the caller's clock. */
  readonly alive: boolean;
  readonly user: UserRecord | undefined;
}

/** What a family is made of, at the authorization. */
export interface NewFamily {
  readonly id: string;
  readonly userId: string;
  readonly clientId: string;
  /** Set when the family ends with its browser session. */
  readonly sessionUid: string | undefined;
  readonly clientGeneration: string;
  readonly userGeneration: string;
  /** undefined when there was no consent row yet: one is made, and its generation taken. */
  readonly consentGeneration: string | undefined;
  readonly newConsentGeneration: string;
  readonly grant: object;
  /** Epoch milliseconds: a family that never gets a token ends with its code. */
  readonly endsAt: number;
}

/** A refresh token that is about to be the current one. */
export interface TokenStep {
  readonly hash: Uint8Array;
  readonly payload: object;
  /** Epoch milliseconds. */
  readonly idleEndsAt: number;
}

/** The first tokens of a family. */
export interface FirstStep {
  readonly familyId: string;
  readonly code: { readonly kind: string; readonly id: string };
  readonly token: TokenStep | undefined;
  readonly endsAt: number;
  readonly accessEndsAt: number;
  readonly opaque: OpaqueToken | undefined;
  /** Set where a cap applies. */
  readonly caps?: FamilyCaps | undefined;
}

/** A rotation. */
export interface RotateStep {
  readonly familyId: string;
  readonly old: Uint8Array;
  readonly token: TokenStep;
  /** The new token, sealed under the old one and a data key; kept only where a grace window is set. */
  readonly successor: Uint8Array | undefined;
  readonly accessEndsAt: number;
  readonly opaque: OpaqueToken | undefined;
}

/** An opaque access token that is issued in the same commit. */
export interface OpaqueToken {
  readonly kind: string;
  readonly id: string;
  readonly payload: object;
  readonly expiresAt: number;
  readonly grantId: string | undefined;
}

export interface Families {
  /** The family with its user, in one query; undefined when there is none. */
  read(id: string): Promise<Family | undefined>;
  /** Inserts a family and its code (or device code) in one transaction, or in that of `within`. Never over an existing id. */
  create(
    family: NewFamily,
    code: { kind: string; id: string; payload: object; expiresAt: number },
    event: AuditEvent,
    within?: Change,
  ): Promise<void>;
  /**
   * Consumes the code and sets the first token, or does neither; families over a cap end with it. Atomic.
   * `refused`: the family has ended, or the code has expired.
   */
  first(step: FirstStep): Promise<'done' | 'code consumed' | 'refused'>;
  /** Makes the new token current where the old one is. Atomic: of any number of callers one gets true. */
  rotate(step: RotateStep): Promise<boolean>;
  /** Ends a family with its audit row. Atomic: true for the one who ended it. */
  kill(id: string, reason: string, event: AuditEvent): Promise<boolean>;
  /** What `current` will be when `token` is. */
  readonly hashToken: (token: string) => Uint8Array;
  /** Every form in which `token` may be kept. */
  readonly tokenHashes: (token: string) => readonly Uint8Array[];
}

const KIND = 'RefreshToken';
const { familyGrant: GRANT, familyToken: TOKEN } = sealContext;

interface Row extends UserColumns {
  readonly id: string;
  readonly userId: string;
  readonly clientId: string;
  readonly sessionUid: string | null;
  readonly grantPayload: Uint8Array;
  readonly tokenPayload: Uint8Array | null;
  readonly current: Uint8Array | null;
  readonly previous: Uint8Array | null;
  readonly successor: Uint8Array | null;
  readonly sinceRotation: number | null;
  readonly endsAt: number;
  readonly idleEndsAt: number | null;
  readonly accessEndsAt: number | null;
  readonly alive: number;
}

export function createFamilies(
  database: Database,
  keys: DataKeys,
  clock: Clock,
  changes: Changes,
  artifacts: Artifacts,
): Families {
  const { sql, nowMs } = database;
  const READ = `SELECT f.id, f.user_id AS "userId", f.client_id AS "clientId", f.session_uid AS "sessionUid",
      f.grant_payload AS "grantPayload", f.token_payload AS "tokenPayload", f.current, f.previous, f.successor,
      ${nowMs} - f.rotated_at AS "sinceRotation", f.ends_at AS "endsAt", f.idle_ends_at AS "idleEndsAt",
      f.access_ends_at AS "accessEndsAt", ${userColumns('u')}, CASE WHEN ${ALIVE} THEN 1 ELSE 0 END AS alive
    FROM families f ${ALIVE_JOINS} WHERE f.id = $1`;
  // No index on any column that this changes: PostgreSQL then updates in place (HOT).
  const ROTATE = `UPDATE families SET previous = current, current = $3, successor = $4, token_payload = $5,
      rotated_at = ${nowMs}, used_at = $6, idle_ends_at = $7,
      access_ends_at = CASE WHEN access_ends_at > $8 THEN access_ends_at ELSE $8 END
    WHERE id = $1 AND current = $2 AND dead_at IS NULL`;
  const FIRST = `UPDATE families SET current = $2, token_payload = $3, used_at = $4, idle_ends_at = $5,
      ends_at = $6, access_ends_at = $7
    WHERE id = $1 AND current IS NULL AND used_at IS NULL AND dead_at IS NULL`;
  const saveOpaque = async (tx: Parameters<Artifacts['save']>[4], token: OpaqueToken): Promise<void> => {
    const { kind, id, payload, expiresAt, grantId } = token;
    await artifacts.save(kind, id, payload, { expiresAt, grantId }, tx);
  };
  const sealedToken = (id: string, token: TokenStep): Buffer =>
    keys.seal(JSON.stringify(token.payload), TOKEN(id));
  const parse = async (bytes: Uint8Array, context: string): Promise<Record<string, unknown>> =>
    JSON.parse((await keys.open(bytes, context)).toString('utf8')) as Record<string, unknown>;
  return {
    hashToken: (token) => keys.hash(KIND, token),
    tokenHashes: (token) => keys.hashes(KIND, token),
    async read(id) {
      const [row] = await sql.read<Row>('families.read', READ, [id, aliveParam(clock)]);
      if (!row) return undefined;
      return {
        id,
        userId: row.userId,
        clientId: row.clientId,
        sessionUid: row.sessionUid ?? undefined,
        grant: await parse(row.grantPayload, GRANT(id)),
        token: row.tokenPayload ? await parse(row.tokenPayload, TOKEN(id)) : undefined,
        current: row.current ?? undefined,
        previous: row.previous ?? undefined,
        successor: row.successor ?? undefined,
        sinceRotation: row.sinceRotation ?? undefined,
        endsAt: row.endsAt,
        idleEndsAt: row.idleEndsAt ?? undefined,
        accessEndsAt: row.accessEndsAt ?? undefined,
        alive: row.alive === 1,
        user: userFromColumns(row),
      };
    },
    async create(family, code, event, within) {
      const now = clock.now();
      const work = async ({ tx, record }: Change): Promise<void> => {
        await tx.write(
          'consents.ensure',
          `INSERT INTO consents (user_id, client_id, scopes, generation, created_at, updated_at)
           VALUES ($1, $2, '{}', $3, $4, $4) ON CONFLICT (user_id, client_id) DO NOTHING`,
          [family.userId, family.clientId, family.newConsentGeneration, now],
        );
        await tx.write(
          'families.create',
          `INSERT INTO families (id, user_id, client_id, session_uid, client_generation, user_generation,
             consent_generation, grant_payload, created_at, ends_at, check_at)
           VALUES ($1, $2, $3, $4, $5, $6,
             COALESCE($7, (SELECT generation FROM consents WHERE user_id = $2 AND client_id = $3)), $8, $9, $10, $10)`,
          [
            family.id,
            family.userId,
            family.clientId,
            family.sessionUid ?? null,
            family.clientGeneration,
            family.userGeneration,
            family.consentGeneration ?? null,
            keys.seal(JSON.stringify(family.grant), GRANT(family.id)),
            now,
            family.endsAt,
          ],
        );
        const { kind, id, payload, expiresAt } = code;
        await artifacts.save(kind, id, payload, { expiresAt, grantId: family.id }, tx);
        await record(event);
      };
      await (within ? work(within) : changes.raw(work));
    },
    async first(step) {
      const { familyId: id, token, code, caps } = step;
      const outcome: { lost?: 'code consumed' | 'refused' } = {};
      const lose = (lost: 'code consumed' | 'refused'): never => {
        outcome.lost = lost;
        throw new Error(lost); // rolls back: nothing was issued
      };
      try {
        await changes.raw(async (change) => {
          const { tx } = change;
          if (caps) await lockUser(change, database, caps.userId);
          if (!(await artifacts.consume(code.kind, code.id, tx))) lose('code consumed');
          const { count } = await tx.write('families.first', FIRST, [
            id,
            token?.hash ?? null,
            token ? sealedToken(id, token) : null,
            clock.now(),
            token?.idleEndsAt ?? null,
            step.endsAt,
            step.accessEndsAt,
          ]);
          if (count !== 1) lose('refused');
          if (step.opaque) await saveOpaque(tx, step.opaque);
          if (caps) await endOldest(change, clock, id, caps);
        });
      } catch (error) {
        if (!outcome.lost) throw error;
      }
      if (outcome.lost !== 'code consumed') return outcome.lost ?? 'done';
      // A code that has expired since it was found was not used twice.
      return (await artifacts.find(code.kind, code.id))?.consumedAt === undefined
        ? 'refused'
        : 'code consumed';
    },
    async rotate(step) {
      const params = [
        step.familyId,
        step.old,
        step.token.hash,
        step.successor ?? null,
        sealedToken(step.familyId, step.token),
        clock.now(),
        step.token.idleEndsAt,
        step.accessEndsAt,
      ];
      const { opaque } = step;
      if (!opaque) return (await sql.write('families.rotate', ROTATE, params)).count === 1;
      return database.transaction(async (tx) => {
        const { count } = await tx.write('families.rotate', ROTATE, params);
        if (count === 1) await saveOpaque(tx, opaque);
        return count === 1;
      });
    },
    kill: (id, reason, event) =>
      changes.raw(async ({ tx, record }) => {
        const { count } = await tx.write(
          'families.kill',
          `UPDATE families SET dead_at = $2, dead_reason = $3 WHERE id = $1 AND dead_at IS NULL`,
          [id, clock.now(), reason],
        );
        if (count === 1) await record(event);
        return count === 1;
      }),
  };
}
