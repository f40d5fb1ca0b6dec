/** Whether an access token is alive: one query each, and a denylist that holds single revoked tokens. */
import type { Clock } from '../lib/clock.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import { ALIVE, ALIVE_JOINS, aliveParam } from './alive.ts';
import type { Artifacts } from './artifacts.ts';
import type { Changes } from './changes.ts';
import type { Database } from './database.ts';

/** What keeps a user's access token alive, and the user it speaks for. */
export interface TokenOwner {
  readonly userId: string;
  readonly clientId: string;
  readonly sessionUid: string | undefined;
}

export interface AccessTokens {
  /**
   * The owner while the family is alive and the token is not denied. One query.
   * @param jti undefined for an opaque token, which is destroyed instead of being denied
   */
  ownerOf(familyId: string, jti: string | undefined): Promise<TokenOwner | undefined>;
  /**
   * Whether a client's own token is alive: client enabled, of this generation, token not denied. One query.
   * @param jti as above
   */
  clientAlive(clientId: string, generation: string, jti: string | undefined): Promise<boolean>;
  /** Denies one token until its expiry (epoch milliseconds), with its audit row. Idempotent. */
  deny(jti: string, expiresAt: number, event: AuditEvent): Promise<void>;
  /** Destroys an opaque token, with its audit row. Idempotent. */
  destroyOpaque(kind: string, id: string, event: AuditEvent): Promise<void>;
}

export function createAccessTokens(
  { sql }: Database,
  clock: Clock,
  changes: Changes,
  artifacts: Pick<Artifacts, 'remove'>,
): AccessTokens {
  const OWNER = `SELECT f.user_id AS "userId", f.client_id AS "clientId", f.session_uid AS "sessionUid"
    FROM families f ${ALIVE_JOINS} WHERE f.id = $1 AND ${ALIVE}
    AND NOT EXISTS (SELECT 1 FROM denied_tokens d WHERE d.jti = $3)`;
  const CLIENT = `SELECT 1 AS one FROM clients c WHERE c.id = $1 AND c.enabled AND c.generation = $2
    AND NOT EXISTS (SELECT 1 FROM denied_tokens d WHERE d.jti = $3)`;
  return {
    async ownerOf(familyId, jti) {
      const [row] = await sql.read<{ userId: string; clientId: string; sessionUid: string | null }>(
        'access-tokens.owner',
        OWNER,
        [familyId, aliveParam(clock), jti ?? ''],
      );
      return row && { ...row, sessionUid: row.sessionUid ?? undefined };
    },
    async clientAlive(clientId, generation, jti) {
      return (await sql.read('access-tokens.client', CLIENT, [clientId, generation, jti ?? ''])).length === 1;
    },
    deny: (jti, expiresAt, event) =>
      changes.raw(async ({ tx, record }) => {
        const { count } = await tx.write(
          'access-tokens.deny',
          `INSERT INTO denied_tokens (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING`,
          [jti, expiresAt],
        );
        if (count === 1) await record(event);
      }),
    destroyOpaque: (kind, id, event) =>
      changes.raw(async ({ tx, record }) => {
        if (await artifacts.remove(kind, id, tx)) await record(event);
      }),
  };
}
