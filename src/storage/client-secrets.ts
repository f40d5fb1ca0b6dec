/** Client secrets: only keyed hashes. What a client can do with them is checked in `clients/secrets.ts`. */
import type { Clock } from '../lib/clock.ts';
import { PortcullisError } from '../lib/errors.ts';
import { randomId } from '../lib/ids.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { Change, Changes } from './changes.ts';
import type { Database } from './database.ts';
import type { ClientSecret as Row } from './generated/postgresql/client.ts';

/** Live secrets of one client at most. */
const MAX_LIVE_SECRETS = 5;

/** How long a secret that has ended stays in the list; the audit log remembers it for good. */
const KEEP_ENDED_MS = 90 * 86_400_000;

/** A secret; instants are epoch milliseconds. */
export interface SecretRecord {
  readonly id: string;
  readonly clientId: string;
  readonly name: string | undefined;
  /** The last four characters. */
  readonly hint: string;
  readonly hash: Uint8Array;
  readonly createdAt: number;
  readonly expiresAt: number | undefined;
  readonly revokedAt: number | undefined;
  readonly lastUsedAt: number | undefined;
}

/** A secret that is about to be saved. */
export type NewSecret = Omit<SecretRecord, 'clientId' | 'createdAt' | 'revokedAt' | 'lastUsedAt'>;

/** What may change in a secret; null takes it away. */
export interface SecretPatch {
  readonly name?: string | null | undefined;
  /** Epoch milliseconds. */
  readonly expiresAt?: number | null | undefined;
}

/** How a secret is revoked. */
export interface SecretRevocation {
  /** Even when it is the last live one. */
  readonly force: boolean;
  /** Renew the client's generation too: everything that it holds is dead. */
  readonly revokeTokens: boolean;
}

/** Each mutation locks the client's row, so parallel ones cannot pass the limit. A missing client or secret: 404. */
export interface ClientSecretStore {
  /** Every secret that is kept, oldest first. */
  list(clientId: string): Promise<SecretRecord[]>;
  /** Adds a secret. Atomic. @throws PortcullisError `too_many_secrets` (409) */
  add(clientId: string, secret: NewSecret, event: AuditEvent): Promise<SecretRecord>;
  /**
   * Adds a secret and lets all others end at `othersEndAt` (epoch milliseconds) unless they end sooner. Atomic.
   * @throws PortcullisError `too_many_secrets` (409)
   */
  rotate(clientId: string, secret: NewSecret, othersEndAt: number, event: AuditEvent): Promise<SecretRecord>;
  /** Changes a secret that is live. Atomic. @throws PortcullisError `secret_ended` (409) */
  update(clientId: string, secretId: string, patch: SecretPatch, event: AuditEvent): Promise<SecretRecord>;
  /** Revokes at once; one that is revoked already stays so. Atomic. @throws PortcullisError `last_secret` (409) */
  revoke(
    clientId: string,
    secretId: string,
    how: SecretRevocation,
    events: readonly AuditEvent[],
  ): Promise<void>;
  /** Notes when secrets were used: epoch milliseconds by id. */
  noteUse(used: ReadonlyMap<string, number>): Promise<void>;
}

/** The record of a row. */
export const secretFromRow = (row: Row): SecretRecord => ({
  id: row.id,
  clientId: row.clientId,
  name: row.name ?? undefined,
  hint: row.hint,
  hash: row.hash,
  createdAt: Number(row.createdAt),
  expiresAt: row.expiresAt === null ? undefined : Number(row.expiresAt),
  revokedAt: row.revokedAt === null ? undefined : Number(row.revokedAt),
  lastUsedAt: row.lastUsedAt === null ? undefined : Number(row.lastUsedAt),
});

/** The row of a new secret, for Prisma. */
export const secretToRow = (clientId: string, secret: NewSecret, now: number) => ({
  id: secret.id,
  clientId,
  name: secret.name ?? null,
  hint: secret.hint,
  hash: new Uint8Array(secret.hash),
  createdAt: BigInt(now),
  expiresAt: secret.expiresAt === undefined ? null : BigInt(secret.expiresAt),
});

/** Whether a secret can be used at `now` (epoch milliseconds). */
export const isLive = (secret: SecretRecord, now: number): boolean =>
  secret.revokedAt === undefined && (secret.expiresAt === undefined || secret.expiresAt > now);

const notFound = (what: string): PortcullisError =>
  new PortcullisError('not_found', 404, `There is no such ${what}.`);

const SELECT = `SELECT id, client_id AS "clientId", name, hint, hash, created_at AS "createdAt",
  expires_at AS "expiresAt", revoked_at AS "revokedAt", last_used_at AS "lastUsedAt"
  FROM client_secrets WHERE client_id = $1 ORDER BY created_at, id`;

export function createClientSecretStore(
  { sql, kind }: Database,
  clock: Clock,
  changes: Changes,
): ClientSecretStore {
  const LOCK = `SELECT id FROM clients WHERE id = $1${kind === 'postgresql' ? ' FOR UPDATE' : ''}`;
  const read = async (tx: Pick<typeof sql, 'read'>, clientId: string): Promise<SecretRecord[]> =>
    (await tx.read<Row>('client-secrets.list', SELECT, [clientId])).map(secretFromRow);
  /** Runs `work` while nobody else changes the client's secrets. */
  const locked = <T>(clientId: string, work: (change: Change, now: number) => Promise<T>): Promise<T> =>
    changes.raw(async (change) => {
      const found = await change.tx.read('client-secrets.lock', LOCK, [clientId]);
      if (found.length === 0) throw notFound('client');
      const result = await work(change, clock.now());
      await change.bump('clients');
      return result;
    });
  const one = async ({ tx }: Change, clientId: string, secretId: string): Promise<SecretRecord> => {
    const found = (await read(tx, clientId)).find(({ id }) => id === secretId);
    if (!found) throw notFound('secret');
    return found;
  };
  const insert = async ({ tx }: Change, clientId: string, secret: NewSecret, now: number) => {
    await tx.write(
      'client-secrets.forget-ended',
      `DELETE FROM client_secrets WHERE client_id = $1 AND (revoked_at < $2 OR expires_at < $2)`,
      [clientId, now - KEEP_ENDED_MS],
    );
    const others = await read(tx, clientId);
    if (others.filter((each) => isLive(each, now)).length >= MAX_LIVE_SECRETS) {
      throw new PortcullisError(
        'too_many_secrets',
        409,
        `A client has at most ${MAX_LIVE_SECRETS} live secrets: revoke one, or let the others end sooner.`,
      );
    }
    // The newest is told by its time: no two have the same.
    const row = secretToRow(clientId, secret, Math.max(now, (others.at(-1)?.createdAt ?? 0) + 1));
    await tx.write(
      'client-secrets.add',
      `INSERT INTO client_secrets (id, client_id, name, hint, hash, created_at, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      Object.values(row),
    );
    return secretFromRow({ ...row, revokedAt: null, lastUsedAt: null });
  };
  return {
    list: (clientId) => read(sql, clientId),
    add: (clientId, secret, event) =>
      locked(clientId, async (change, now) => {
        const added = await insert(change, clientId, secret, now);
        await change.record(event);
        return added;
      }),
    rotate: (clientId, secret, othersEndAt, event) =>
      locked(clientId, async (change, now) => {
        await change.tx.write(
          'client-secrets.retire',
          `UPDATE client_secrets SET expires_at = $2
           WHERE client_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)`,
          [clientId, othersEndAt],
        );
        const added = await insert(change, clientId, secret, now);
        await change.record(event);
        return added;
      }),
    update: (clientId, secretId, patch, event) =>
      locked(clientId, async (change, now) => {
        const before = await one(change, clientId, secretId);
        if (!isLive(before, now)) {
          throw new PortcullisError('secret_ended', 409, 'A secret that has ended cannot be changed.');
        }
        const { name = before.name ?? null, expiresAt = before.expiresAt ?? null } = patch;
        await change.tx.write(
          'client-secrets.update',
          `UPDATE client_secrets SET name = $2, expires_at = $3 WHERE id = $1`,
          [secretId, name, expiresAt],
        );
        await change.record(event);
        return { ...before, name: name ?? undefined, expiresAt: expiresAt ?? undefined };
      }),
    revoke: (clientId, secretId, { force, revokeTokens }, events) =>
      locked(clientId, async (change, now) => {
        const secrets = await read(change.tx, clientId);
        const target = secrets.find(({ id }) => id === secretId);
        if (!target) throw notFound('secret');
        const live = secrets.filter((each) => isLive(each, now));
        if (!force && live.length === 1 && live[0] === target) {
          throw new PortcullisError(
            'last_secret',
            409,
            'This is the last live secret of the client: add another first, or use force.',
          );
        }
        await change.tx.write(
          'client-secrets.revoke',
          `UPDATE client_secrets SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1`,
          [secretId, now],
        );
        if (revokeTokens) {
          await change.tx.write(
            'clients.renew-generation',
            `UPDATE clients SET generation = $2, updated_at = $3 WHERE id = $1`,
            [clientId, randomId(), now],
          );
        }
        for (const event of events) await change.record(event);
      }),
    async noteUse(used) {
      for (const [id, at] of used) {
        await sql.write(
          'client-secrets.note-use',
          `UPDATE client_secrets SET last_used_at = $2
           WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)`,
          [id, at, at - 60_000],
        );
      }
    },
  };
}
