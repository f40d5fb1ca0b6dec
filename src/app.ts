/** The composition root: everything is made here, with explicit arguments, and closed here. */
import './provider/engine-notices.ts';
import type Koa from 'koa';
import { createAdministration } from './administration.ts';
import { startBackground, type Background } from './background.ts';
import { createClientAdministration, type ClientAdministration } from './clients/administration.ts';
import { createApiRegistry } from './clients/apis.ts';
import { bootstrapAdmin } from './clients/bootstrap.ts';
import type { ClientMetadata } from './clients/metadata.ts';
import { createSecretUse } from './clients/secret-use.ts';
import { createClientRegistry } from './clients/registry.ts';
import { developmentAdmin, secretKeysOf, type AdminCredentials } from './config/development.ts';
import type { Settings } from './config/schema.ts';
import { createDelivery } from './delivery/delivery.ts';
import { createLogoutDeliverer } from './delivery/logouts.ts';
import { createGrantAdministration } from './grants/administration.ts';
import { createCors } from './http/cors.ts';
import { createHealth, type Health } from './http/health.ts';
import { listen, type Listening } from './http/listen.ts';
import { createManagementServer } from './http/management.ts';
import { createProviderPages, createShowPage } from './http/pages.ts';
import { serveKeys } from './http/served-keys.ts';
import { createServer } from './http/server.ts';
import { readBrand } from './http/views-brand.ts';
import { createViews } from './http/views.ts';
import { openCurrentKeys } from './keys/current.ts';
import { createKeyRotation } from './keys/rotation.ts';
import { systemClock, type Clock } from './lib/clock.ts';
import { offersOf } from './http/mailing.ts';
import { createPeople } from './people.ts';
import { createLogoutTokens } from './provider/logout-tokens.ts';
import { buildProvider } from './provider/build.ts';
import { createTokenVerifier } from './provider/jwt-access-tokens.ts';
import { createClientSecretStore } from './storage/client-secrets.ts';
import { createGrantLists } from './storage/grant-lists.ts';
import type { Database } from './storage/database.ts';
import { createFollowing } from './storage/following.ts';
import { openStorage, type Storage } from './storage/open.ts';
import { report } from './telemetry/events.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';
import { createTracing } from './telemetry/tracing.ts';
import { createAccounts, type Accounts } from './users/accounts.ts';
import { passwordPolicy } from './users/password-policy.ts';
import { createPasswords } from './users/passwords.ts';
import { createSecondFactors } from './users/second-factors.ts';
import { VERSION } from './lib/version.ts';

/** What tests replace. */
export interface Overrides {
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** Milliseconds of a stopwatch. */
  readonly elapsed?: () => number;
  readonly wrapDatabase?: (database: Database) => Database;
}

/** What the host's own commands work on, beside the HTTP interface. */
export interface Domain {
  readonly accounts: Accounts;
  readonly clients: ClientAdministration;
  readonly storage: Storage<ClientMetadata>;
}

/** A composed server, not yet listening. */
export interface App {
  readonly koa: Koa;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly health: Pick<Health, 'checks'>;
  readonly domain: Domain;
  /** What the database needed at this start. */
  readonly migrations: readonly string[];
  /** Opens the public and the management port, unless another process holds them. */
  listen(options?: { readonly ports: boolean }): Promise<Listening>;
  /**
   * Takes no new requests, finishes those in flight, and closes the database.
   * @param grace milliseconds, see `Listening.close`
   * @param replaced another process goes on: this one is ready to the last
   */
  close(grace?: number, replaced?: boolean): Promise<void>;
}

/**
 * Makes a server from settings: opens and migrates the database, unwraps the keys, builds the provider.
 * @throws StartError in one line
 */
export async function createApp(settings: Settings, overrides: Overrides = {}): Promise<App> {
  const clock = overrides.clock ?? systemClock;
  const tracing = createTracing(settings, clock, (err) => logger.warn({ err }, 'traces cannot be sent'));
  const { environment } = settings;
  const logger = overrides.logger ?? createLogger({ environment, traceId: tracing?.traceId });
  const metrics = createMetrics({ version: VERSION, keyRotationDays: settings.keyRotationDays });
  const development = environment === 'development';
  const views = createViews({ brand: readBrand(settings.brand) });
  const secretKeys = secretKeysOf(settings);

  const running: { background?: Background } = {}; // begins last, heard of first
  const storage = await openStorage<ClientMetadata>({
    url: settings.databaseUrl,
    secretKeys,
    clock,
    onQuery: tracing?.measured(metrics.dbQuery) ?? metrics.dbQuery,
    wrapDatabase: overrides.wrapDatabase,
    onError: (error) => logger.error({ err: error }, 'database connection failed'),
    listeners: {
      onEvent: (event) => report(event, { logger, metrics }),
      onBump: (what) => running.background?.bumped(what),
      onUnrecorded: metrics.auditFailure,
    },
  });
  const { database, dataKeys } = storage;
  const now = (): number => clock.now();
  const delivery = createDelivery({ settings, storage, clock, logger });
  const clients = createClientRegistry(storage.clients, { now });
  const apis = createApiRegistry(storage.apis, { defaultApi: settings.defaultApi }, { now });

  const first =
    settings.bootstrapClient ?? (development ? asBootstrap(developmentAdmin(settings.dataDir)) : undefined);
  if (first) await bootstrapAdmin(storage.clients, dataKeys, first, now());

  const keys = await openCurrentKeys(storage.signingKeys, settings, clock);
  const rotation = createKeyRotation(storage.signingKeys, keys, settings, clock);
  const verify = createTokenVerifier(keys, settings.issuer, clock);
  const basePath = new URL(settings.issuer).pathname.replace(/\/$/, '');
  const offers = offersOf(settings);
  const show = createShowPage(views, basePath, offers);
  const users = storage.users;
  const accounts = createAccounts(users, createPasswords(), await passwordPolicy(settings.passwordPolicy));
  const administration = createClientAdministration({
    store: storage.clients,
    apis,
    keys: dataKeys,
    clock,
    fetchAllow: settings.fetchAllow,
    needKey: rotation.need,
  });
  const secretStore = createClientSecretStore(database, clock, storage.changes);
  const secretUse = createSecretUse(secretStore, clock, {
    onError: (error) => logger.warn({ err: error }, 'the use of a secret was not noted'),
  });
  const pages = createProviderPages(
    show,
    views.text,
    basePath,
    async (id) => (await users.findById(id))?.username,
  );
  const parts = { settings, clock, logger, metrics, dataKeys, verify, storage, clients, apis, pages };
  const { engine, jwks } = serveKeys(
    keys,
    (ring) => buildProvider({ ...parts, ring, secretUsed: secretUse.used }),
    settings.jwksMaxAge,
  );
  const forget = { clients: clients.forget, apis: apis.forget };
  const elapsed = overrides.elapsed ?? (() => performance.now());
  const following = createFollowing({
    counters: storage.counters,
    reread: {
      ...forget,
      'data-keys': dataKeys.reload,
      webhooks: storage.subscriptions.reload,
      keys: keys.reload,
    },
    keyPollSeconds: settings.keyPollSeconds,
    elapsed,
    logger,
  });
  let draining = false;
  const health = createHealth({
    database: async () => (await database.sql.read('health', 'SELECT 1 AS one')).length === 1,
    migrations: storage.current,
    keys: () => keys.algorithms.length > 0,
    sight: following,
    draining: () => draining,
  });
  const grants = createGrantAdministration(
    createGrantLists(database, dataKeys, clock, storage.changes),
    storage.sessions,
    storage.consents,
  );
  const secondFactors = createSecondFactors({ storage, clock, issuer: settings.issuer });
  const people = createPeople({
    ...parts,
    accounts,
    secondFactors,
    grants,
    provider: engine.provider,
    show,
    text: views.text,
  });
  const koa = createServer({
    settings,
    logger,
    metrics,
    tracing,
    engine,
    cors: createCors(clients.originRegistered),
    show,
    views,
    sight: following,
    health,
    jwks,
    ...people,
    admin: createAdministration({
      ...parts,
      accounts,
      clients: administration,
      registry: clients,
      secretStore,
      secondFactors,
      grants,
      keys,
      rotation,
      webhooks: delivery.webhooks,
    }),
  });

  const logouts = createLogoutDeliverer({
    ...parts,
    notices: storage.logoutNotices,
    compose: createLogoutTokens({ issuer: settings.issuer, clients, ring: keys, clock }),
    fetch: delivery.fetch,
  });
  const duties = [delivery.deliverer, logouts, ...people.duties];
  running.background = startBackground({ ...parts, following, elapsed, keys, rotation, forget, duties });

  let listening: Listening | undefined;
  return {
    koa,
    metrics,
    logger,
    health,
    domain: { accounts, clients: administration, storage },
    migrations: storage.migrations,
    async listen({ ports } = { ports: true }) {
      const handle = koa.callback();
      const management = ports ? createManagementServer({ metrics, health, version: VERSION }) : undefined;
      listening = await listen(settings, (req, res) => void handle(req, res), management);
      return listening;
    },
    async close(grace, replaced = false) {
      draining = !replaced;
      await listening?.close(grace);
      await running.background?.stop();
      await Promise.all([delivery.deliverer.idle(), logouts.idle()]);
      await secretUse.close();
      await tracing?.close();
      await database.close();
    },
  };
}

const asBootstrap = ({ client_id: id, client_secret: secret }: AdminCredentials) => ({ id, secret });
