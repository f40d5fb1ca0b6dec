/** Clients and their generation. What stands in a client's metadata is `clients/metadata.ts`'s business. */
import type { Clock } from '../lib/clock.ts';
import { PortcullisError } from '../lib/errors.ts';
import { randomId } from '../lib/ids.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { Changes, TypedChange } from './changes.ts';
import { secretFromRow, secretToRow, type NewSecret, type SecretRecord } from './client-secrets.ts';
import { isUniqueViolation, type Database } from './database.ts';
import type { Client as Row } from './generated/postgresql/client.ts';
import { oldestFirst, toPage, type Page, type PageRequest } from './pages.ts';
import { noteLifetime } from './signing-keys.ts';
import { holdVersion } from './versions.ts';

/** A client; instants are epoch milliseconds. `M` is its validated metadata. */
export interface ClientRecord<M> {
  readonly id: string;
  /** Its `enabled` is this record's. */
  readonly metadata: M;
  readonly enabled: boolean;
  /** Random; renewed when everything of the client is revoked. */
  readonly generation: string;
  /** Counts changes of what its representation shows. */
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** Ended ones too, oldest first. */
  readonly secrets: readonly SecretRecord[];
}

/**
 * Every mutation is one transaction with its audit rows, and tells all nodes to forget their clients. One with a
 * `version` is meant for that one alone: else `version_mismatch` (412).
 */
export interface ClientStore<M> {
  find(id: string): Promise<ClientRecord<M> | undefined>;
  /** Oldest first. */
  list(page: PageRequest): Promise<Page<ClientRecord<M>>>;
  /** Metadata of the enabled clients that have `allowed_origins`. */
  withOrigins(): Promise<readonly M[]>;
  /** @throws PortcullisError `client_exists` (409): by a client, or by a user, whose tokens would look the same */
  create(
    client: { readonly id: string; readonly metadata: M },
    secret: NewSecret | undefined,
    events: readonly AuditEvent[],
  ): Promise<ClientRecord<M>>;
  /**
   * Replaces the metadata; one that is not enabled renews the generation. Atomic: false when the version is another
   * by now, or the client is gone.
   */
  update(id: string, metadata: M, version: number, events: readonly AuditEvent[]): Promise<boolean>;
  /** Disabling renews the generation: enabling revives nothing. True when it changed anything; unknown: 404. */
  setEnabled(id: string, enabled: boolean, event: AuditEvent, version?: number): Promise<boolean>;
  /** Ends everything that the client holds. Unknown: 404. */
  revokeAll(id: string, event: AuditEvent, version?: number): Promise<void>;
  /** With its secrets and the consents to it. Idempotent; true for the one who deleted it. */
  delete(id: string, event: AuditEvent, version?: number): Promise<boolean>;
}

export function createClientStore<M extends { enabled: boolean; access_token_ttl?: number | undefined }>(
  { prisma }: Database,
  clock: Clock,
  changes: Changes,
): ClientStore<M> {
  const record = (row: Row, secrets: readonly SecretRecord[]): ClientRecord<M> => ({
    id: row.id,
    metadata: { ...(JSON.parse(row.metadata) as M), enabled: row.enabled },
    enabled: row.enabled,
    generation: row.generation,
    version: row.version,
    createdAt: Number(row.createdAt),
    updatedAt: Number(row.updatedAt),
    secrets,
  });
  const secretsOf = async (ids: string[]): Promise<SecretRecord[]> =>
    (
      await prisma.clientSecret.findMany({
        where: { clientId: { in: ids } },
        orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
      })
    ).map(secretFromRow);
  const touched = () => ({ updatedAt: BigInt(clock.now()), version: { increment: 1 } });
  const hold = ({ tx }: TypedChange, id: string, version: number | undefined): Promise<void> =>
    holdVersion(version, (meant) =>
      tx.client.updateMany({ where: { id, version: meant }, data: { version: meant } }),
    );
  const notFound = (): PortcullisError => new PortcullisError('not_found', 404, 'There is no such client.');
  const taken = (): PortcullisError =>
    new PortcullisError('client_exists', 409, 'This client_id is taken.', {
      errors: [{ pointer: '/client_id', detail: 'is taken' }],
    });
  return {
    async find(id) {
      if (id.includes('\0')) return undefined; // PostgreSQL refuses such a text
      const [row, secrets] = await Promise.all([
        prisma.client.findUnique({ where: { id } }),
        secretsOf([id]),
      ]);
      return row ? record(row, secrets) : undefined;
    },
    async list(page) {
      const rows = await prisma.client.findMany(oldestFirst(page));
      const secrets = Map.groupBy(await secretsOf(rows.map(({ id }) => id)), ({ clientId }) => clientId);
      const clients = rows.map((row) => record(row, secrets.get(row.id) ?? []));
      return toPage(clients, page.limit, ({ createdAt, id }) => [createdAt, id]);
    },
    async withOrigins() {
      const rows = await prisma.client.findMany({
        where: { enabled: true, metadata: { contains: '"allowed_origins":["' } },
        select: { metadata: true },
      });
      return rows.map(({ metadata }) => JSON.parse(metadata) as M);
    },
    async create({ id, metadata }, secret, events) {
      const now = clock.now();
      const data = {
        id,
        metadata: JSON.stringify(metadata),
        enabled: metadata.enabled,
        generation: randomId(),
        version: 1,
        createdAt: BigInt(now),
        updatedAt: BigInt(now),
      };
      try {
        return await changes.typed(async (change) => {
          if ((await change.tx.user.count({ where: { id } })) > 0) throw taken();
          const row = await change.tx.client.create({ data });
          const made = secret
            ? [secretFromRow(await change.tx.clientSecret.create({ data: secretToRow(id, secret, now) }))]
            : [];
          for (const event of events) await change.record(event);
          await change.bump('clients');
          return record(row, made);
        });
      } catch (error) {
        throw isUniqueViolation(error) ? taken() : error;
      }
    },
    update: (id, metadata, version, events) =>
      changes.typed(async (change) => {
        const { enabled } = metadata;
        const before = await change.tx.client.findUnique({ where: { id }, select: { metadata: true } });
        const { access_token_ttl: ttl } = JSON.parse(before?.metadata ?? '{}') as Partial<M>;
        if (ttl !== metadata.access_token_ttl) await noteLifetime(change, ttl);
        const { count } = await change.tx.client.updateMany({
          where: { id, version },
          data: {
            metadata: JSON.stringify(metadata),
            enabled,
            ...touched(),
            ...(!enabled && { generation: randomId() }),
          },
        });
        if (count === 0) return false;
        for (const event of events) await change.record(event);
        await change.bump('clients');
        return true;
      }),
    setEnabled: (id, enabled, event, version) =>
      changes.typed(async (change) => {
        await hold(change, id, version);
        const { count } = await change.tx.client.updateMany({
          where: { id, enabled: !enabled },
          data: { enabled, ...touched(), ...(!enabled && { generation: randomId() }) },
        });
        if (count === 0) {
          if ((await change.tx.client.count({ where: { id } })) === 0) throw notFound();
          return false;
        }
        await change.record(event);
        await change.bump('clients');
        return true;
      }),
    revokeAll: (id, event, version) =>
      changes.typed(async (change) => {
        await hold(change, id, version);
        const { count } = await change.tx.client.updateMany({
          where: { id },
          data: { generation: randomId() },
        });
        if (count === 0) throw notFound();
        await change.record(event);
        await change.bump('clients');
      }),
    delete: (id, event, version) =>
      changes.typed(async (change) => {
        await hold(change, id, version);
        const { count } = await change.tx.client.deleteMany({ where: { id } });
        if (count === 0) return false;
        await change.tx.clientSecret.deleteMany({ where: { clientId: id } });
        // A client made again under this id must not find what users allowed the old one.
        await change.tx.consent.deleteMany({ where: { clientId: id } });
        await change.record(event);
        await change.bump('clients');
        return true;
      }),
  };
}
