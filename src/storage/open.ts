/** Opens everything that is kept: the database, migrated, its keys unwrapped, and each store over it. */
import type { Clock } from '../lib/clock.ts';
import { createAccessTokens } from './access-tokens.ts';
import { createAddresses } from './addresses.ts';
import { createApiStore } from './apis.ts';
import { createArtifacts } from './artifacts.ts';
import { createChanges, readCounters, type ChangeListeners } from './changes.ts';
import { createClientStore } from './clients.ts';
import { createConsents } from './consents.ts';
import { createDataKeys, loadDataKeys } from './data-keys.ts';
import { openDatabase, type Database } from './database.ts';
import { createFamilies } from './families.ts';
import { migrate, migrationNames } from './migrate.ts';
import { createSecondFactorStore } from './second-factors.ts';
import { createSessions } from './sessions.ts';
import { createLogoutNotices } from './logout-notices.ts';
import { createSessionEnds } from './session-ends.ts';
import { createMails } from './mails.ts';
import { createOutbox } from './outbox.ts';
import { createSigningKeys } from './signing-keys.ts';
import { openSubscriptions } from './subscriptions.ts';
import { createThrottles } from './throttles.ts';
import { createUserStore } from './users.ts';
import { createWebhookStore } from './webhooks.ts';

export interface StorageOptions {
  readonly url: string;
  readonly secretKeys: readonly Buffer[];
  readonly clock: Clock;
  readonly listeners: ChangeListeners;
  readonly onQuery?: (op: string, seconds: number) => void;
  readonly onError?: (error: Error) => void;
  /** PostgreSQL: milliseconds that one statement may take. */
  readonly statementTimeout?: number;
  /** For tests: what stands between the stores and the database. */
  readonly wrapDatabase?: ((database: Database) => Database) | undefined;
}

export type Storage<M extends { enabled: boolean }> = Awaited<ReturnType<typeof openStorage<M>>>;

/**
 * @typeParam M validated metadata of a client
 * @throws StartError in one line: unreachable, newer than this release, or under another secret key
 */
export async function openStorage<M extends { enabled: boolean }>(options: StorageOptions) {
  const { url, secretKeys, clock, listeners, onQuery, onError, wrapDatabase } = options;
  const opened = await openDatabase({
    url,
    ...(onQuery ? { onQuery } : {}),
    ...(onError ? { onError } : {}),
    ...(options.statementTimeout === undefined ? {} : { statementTimeout: options.statementTimeout }),
  });
  const database = wrapDatabase ? wrapDatabase(opened) : opened;
  try {
    const { applied } = await migrate(database, { onFirst: (tx) => createDataKeys(tx, secretKeys, clock) });
    const newest = (await migrationNames(database.kind)).at(-1) ?? '';
    const dataKeys = await loadDataKeys(database, secretKeys, clock);
    const subscriptions = await openSubscriptions(database);
    const changes = createChanges(database, clock, listeners, subscriptions);
    const ends = createSessionEnds(dataKeys, clock);
    const artifacts = createArtifacts(database, dataKeys, clock);
    const mails = createMails(database, dataKeys, clock);
    return {
      database,
      dataKeys,
      changes,
      artifacts,
      migrations: applied,
      /** Whether the database is still of this release: not so once an older one was put in its place. */
      current: async () => {
        const text = `SELECT 1 AS one FROM "_prisma_migrations" WHERE migration_name = $1 AND rolled_back_at IS NULL`;
        return (await database.sql.read('migrations.newest', text, [newest])).length === 1;
      },
      addresses: createAddresses(clock, changes, artifacts, mails),
      accessTokens: createAccessTokens(database, clock, changes, artifacts),
      apis: createApiStore(database, clock, changes),
      clients: createClientStore<M>(database, clock, changes),
      consents: createConsents(database, clock, changes),
      families: createFamilies(database, dataKeys, clock, changes, artifacts),
      logoutNotices: createLogoutNotices(database, clock),
      mails,
      secondFactors: createSecondFactorStore(database, dataKeys, clock, changes),
      sessions: createSessions(database, dataKeys, clock, changes, ends),
      signingKeys: createSigningKeys(database, dataKeys, changes),
      throttles: createThrottles(database, clock),
      users: createUserStore(database, clock, changes, ends, artifacts),
      subscriptions,
      webhooks: createWebhookStore(database, dataKeys, clock, changes, subscriptions),
      outbox: createOutbox(database, clock),
      counters: () => readCounters(database.lookout),
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}
