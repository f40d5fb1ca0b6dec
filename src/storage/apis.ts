/** APIs (resource servers) and their scopes; a scope's name belongs to one API. */
import type { Clock } from '../lib/clock.ts';
import { PortcullisError } from '../lib/errors.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { Changes, TypedChange } from './changes.ts';
import { isUniqueViolation, type Database } from './database.ts';
import type { Api as Row, ApiScope as ScopeRow } from './generated/postgresql/client.ts';
import { afterTime, toPage, type Page, type PageRequest } from './pages.ts';
import { noteLifetime } from './signing-keys.ts';
import { holdVersion } from './versions.ts';

export interface ApiScope {
  readonly name: string;
  readonly description: string;
}

/** What can be set about an API. */
export interface ApiDocument {
  readonly identifier: string;
  readonly name: string;
  readonly scopes: readonly ApiScope[];
  readonly accessTokenFormat: 'jwt' | 'opaque';
  /** Seconds; undefined: the server's own. */
  readonly accessTokenTtl: number | undefined;
  readonly signingAlg: string;
}

/** An API; instants are epoch milliseconds. */
export interface ApiRecord extends ApiDocument {
  /** Counts changes; 0 when it is built in. */
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Every mutation is one transaction with its audit row, and tells all nodes to forget their APIs. */
export interface ApiStore {
  find(identifier: string): Promise<ApiRecord | undefined>;
  /** Oldest first. */
  list(page: PageRequest): Promise<Page<ApiRecord>>;
  /** All of them, oldest first. */
  all(): Promise<ApiRecord[]>;
  /** @throws PortcullisError `api_exists`, `scope_taken` (409) */
  create(api: ApiDocument, event: AuditEvent): Promise<ApiRecord>;
  /**
   * Replaces everything but the identifier. Atomic: false when the version is another by now, or the API is gone.
   * @throws PortcullisError `scope_taken` (409)
   */
  update(api: ApiDocument, version: number, event: AuditEvent): Promise<boolean>;
  /**
   * Idempotent; true for the one who deleted it.
   * @throws PortcullisError `version_mismatch` (412) when it is meant for another version
   */
  delete(identifier: string, event: AuditEvent, version?: number): Promise<boolean>;
}

const toRecord = (row: Row, scopes: readonly ScopeRow[]): ApiRecord => ({
  identifier: row.identifier,
  name: row.name,
  scopes: scopes.map(({ name, description }) => ({ name, description })),
  accessTokenFormat: row.accessTokenFormat === 'opaque' ? 'opaque' : 'jwt',
  accessTokenTtl: row.accessTokenTtl ?? undefined,
  signingAlg: row.signingAlg,
  version: row.version,
  createdAt: Number(row.createdAt),
  updatedAt: Number(row.updatedAt),
});

const toRow = (api: ApiDocument) => ({
  name: api.name,
  accessTokenFormat: api.accessTokenFormat,
  accessTokenTtl: api.accessTokenTtl ?? null,
  signingAlg: api.signingAlg,
});

const OLDEST_FIRST = [{ createdAt: 'asc' as const }, { identifier: 'asc' as const }];

export function createApiStore({ prisma, kind }: Database, clock: Clock, changes: Changes): ApiStore {
  const withScopes = async (rows: readonly Row[]): Promise<ApiRecord[]> => {
    const found = await prisma.apiScope.findMany({
      where: { api: { in: rows.map(({ identifier }) => identifier) } },
      orderBy: { position: 'asc' },
    });
    const scopes = Map.groupBy(found, ({ api }) => api);
    return rows.map((row) => toRecord(row, scopes.get(row.identifier) ?? []));
  };
  /** Replaces the scopes. Two APIs that claim one name at once: the primary key decides. */
  const writeScopes = async ({ tx }: TypedChange, { identifier, scopes }: ApiDocument): Promise<void> => {
    await tx.apiScope.deleteMany({ where: { api: identifier } });
    await tx.apiScope.createMany({
      data: scopes.map(({ name, description }, position) => ({
        name,
        description,
        position,
        api: identifier,
      })),
    });
  };
  /**
   * What people allowed an API that had the identifier before says nothing of the new one. Reads all consents: APIs are
   * made seldom.
   */
  const forgetConsents = ({ tx }: TypedChange, identifier: string): Promise<number> => {
    const name = JSON.stringify(identifier);
    return kind === 'postgresql'
      ? tx.$executeRaw`UPDATE consents SET scopes = (scopes::jsonb - ${identifier}::text)::text
          WHERE position(${`${name}:`}::text in scopes) > 0`
      : tx.$executeRaw`UPDATE consents SET scopes = json_remove(scopes, ${`$.${name}`})
          WHERE instr(scopes, ${`${name}:`}) > 0`;
  };
  const orTaken = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new PortcullisError('scope_taken', 409, 'Another API has a scope of one of these names.', {
        errors: [{ pointer: '/scopes', detail: 'names a scope of another API' }],
      });
    }
  };
  const exists = (): PortcullisError =>
    new PortcullisError('api_exists', 409, 'An API with this identifier exists.');
  return {
    async find(identifier) {
      const row = await prisma.api.findUnique({ where: { identifier } });
      return row ? (await withScopes([row]))[0] : undefined;
    },
    async list(page) {
      const after = afterTime(page);
      const rows = await prisma.api.findMany({
        ...(after && {
          where: {
            OR: [
              { createdAt: { gt: BigInt(after.time) } },
              { createdAt: BigInt(after.time), identifier: { gt: after.id } },
            ],
          },
        }),
        orderBy: OLDEST_FIRST,
        take: page.limit + 1,
      });
      return toPage(await withScopes(rows), page.limit, ({ createdAt, identifier }) => [
        createdAt,
        identifier,
      ]);
    },
    all: async () => withScopes(await prisma.api.findMany({ orderBy: OLDEST_FIRST })),
    create: (api, event) =>
      orTaken(
        changes.typed(async (change) => {
          const now = BigInt(clock.now());
          const data = {
            identifier: api.identifier,
            ...toRow(api),
            version: 1,
            createdAt: now,
            updatedAt: now,
          };
          const row = await change.tx.api.create({ data }).catch((error: unknown) => {
            throw isUniqueViolation(error) ? exists() : error;
          });
          await writeScopes(change, api);
          await forgetConsents(change, api.identifier);
          await change.record(event);
          await change.bump('apis');
          return { ...toRecord(row, []), scopes: api.scopes };
        }),
      ),
    update: (api, version, event) =>
      orTaken(
        changes.typed(async (change) => {
          const { identifier } = api;
          const before = await change.tx.api.findUnique({ where: { identifier } });
          if (before && before.accessTokenTtl !== (api.accessTokenTtl ?? null))
            await noteLifetime(change, before.accessTokenTtl ?? undefined);
          const { count } = await change.tx.api.updateMany({
            where: { identifier, version },
            data: { ...toRow(api), version: { increment: 1 }, updatedAt: BigInt(clock.now()) },
          });
          if (count === 0) return false;
          await writeScopes(change, api);
          await change.record(event);
          await change.bump('apis');
          return true;
        }),
      ),
    delete: (identifier, event, version) =>
      changes.typed(async (change) => {
        await holdVersion(version, (meant) =>
          change.tx.api.updateMany({ where: { identifier, version: meant }, data: { version: meant } }),
        );
        const { count } = await change.tx.api.deleteMany({ where: { identifier } });
        if (count === 0) return false;
        await change.tx.apiScope.deleteMany({ where: { api: identifier } });
        await change.record(event);
        await change.bump('apis');
        return true;
      }),
  };
}
