/** The composition root: everything is made here, with explicit arguments, and closed here. */
import './provider/engine-notices.ts';
import type Koa from 'koa';
import { startBackground, type Background } from './background.ts';
import { createClientAdministration, type ClientAdministration } from './clients/administration.ts';
import { createApiAdministration } from './clients/api-administration.ts';
import { createApiRegistry } from './clients/apis.ts';
import { bootstrapAdmin } from './clients/bootstrap.ts';
import type { ClientMetadata } from './clients/metadata.ts';
import { createSecretUse } from './clients/secret-use.ts';
import { createClientRegistry } from './clients/registry.ts';
import { createSecretAdministration } from './clients/secret-administration.ts';
import { developmentAdmin, developmentSecretKeys, ensureDataDir } from './config/development.ts';
import type { Settings } from './config/schema.ts';
import { createDeliverer } from './delivery/deliverer.ts';
import { createOutbound } from './delivery/outbound.ts';
import { createWebhookAdministration } from './delivery/webhooks.ts';
import { createGrantAdministration } from './grants/administration.ts';
import { createAdminApi } from './http/admin/admin-api.ts';
import { createAccountPages } from './http/account.ts';
import { createBrowserSessions } from './http/browser-session.ts';
import { createCors } from './http/cors.ts';
import { createCsrf } from './http/csrf.ts';
import { createDevicePages } from './http/device.ts';
import { createEngine } from './http/engine.ts';
import { createHealth, type Health } from './http/health.ts';
import { createInteractions } from './http/interactions.ts';
import { listen, type Listening } from './http/listen.ts';
import { createManagementServer } from './http/management.ts';
import { createProviderPages, createShowPage } from './http/pages.ts';
import { publish } from './http/published.ts';
import { createServer } from './http/server.ts';
import { createViews } from './http/views.ts';
import { openCurrentKeys } from './keys/current.ts';
import type { KeyRing } from './keys/ring.ts';
import { createKeyRotation } from './keys/rotation.ts';
import { systemClock, type Clock } from './lib/clock.ts';
import { createAdminBearer } from './provider/admin-bearer.ts';
import { createVisitorSignIn } from './http/visitor-sign-in.ts';
import { createDeviceDecisions } from './provider/device-codes.ts';
import { buildProvider } from './provider/build.ts';
import { createTokenVerifier } from './provider/jwt-access-tokens.ts';
import { createTokenInspector } from './provider/token-inspector.ts';
import { createAuditLog } from './storage/audit.ts';
import { createClientSecretStore } from './storage/client-secrets.ts';
import { createGrantLists } from './storage/grant-lists.ts';
import type { Database } from './storage/database.ts';
import { openStorage, type Storage } from './storage/open.ts';
import { report } from './telemetry/events.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';
import { createAccounts, type Accounts } from './users/accounts.ts';
import { createPasswords } from './users/passwords.ts';
import { createThrottle } from './users/throttle.ts';
import { VERSION } from './lib/version.ts';

/** What tests replace. */
export interface Overrides {
  readonly clock?: Clock;
  readonly logger?: Logger;
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
  /** Opens the public port, and the management port unless another process serves it. */
  listen(options?: { readonly management: boolean }): Promise<Listening>;
  /**
   * Takes no new requests, finishes those in flight, and closes the database.
   * @param grace milliseconds, see `Listening.close`
   */
  close(grace?: number): Promise<void>;
}

/**
 * Makes a server from settings: opens and migrates the database, unwraps the keys, builds the provider.
 * @throws StartError in one line
 */
export async function createApp(settings: Settings, overrides: Overrides = {}): Promise<App> {
  const clock = overrides.clock ?? systemClock;
  const logger = overrides.logger ?? createLogger({ environment: settings.environment });
  const metrics = createMetrics({ version: VERSION });
  const development = settings.environment === 'development';
  ensureDataDir(settings.dataDir);
  const secretKeys =
    settings.secretKeys.length > 0 ? settings.secretKeys : developmentSecretKeys(settings.dataDir);

  let background: Background | undefined;
  const storage = await openStorage<ClientMetadata>({
    url: settings.databaseUrl,
    secretKeys,
    clock,
    onQuery: metrics.dbQuery,
    wrapDatabase: overrides.wrapDatabase,
    onError: (error) => logger.error({ err: error }, 'database connection failed'),
    listeners: {
      onEvent: (event) => report(event, { logger, metrics }),
      onBump: (what) => background?.bumped(what),
    },
  });
  const { database, dataKeys } = storage;
  const now = (): number => clock.now();
  const fetch = createOutbound({ fetchAllow: settings.fetchAllow });
  const clients = createClientRegistry(storage.clients, { now });
  const apis = createApiRegistry(storage.apis, { defaultApi: settings.defaultApi }, { now });

  const first =
    settings.bootstrapClient ??
    (development ? asBootstrap(developmentAdmin(settings.dataDir, settings.issuer)) : undefined);
  if (first) await bootstrapAdmin(storage.clients, dataKeys, first, now());

  const keys = await openCurrentKeys(storage.signingKeys, clock);
  const rotation = createKeyRotation(storage.signingKeys, keys, settings, clock);
  const verify = createTokenVerifier(keys, settings.issuer, clock);
  const basePath = new URL(settings.issuer).pathname.replace(/\/$/, '');
  const views = createViews();
  const show = createShowPage(views, basePath);
  const users = storage.users;
  const accounts = createAccounts(users, createPasswords());
  const administration = createClientAdministration({
    store: storage.clients,
    apis,
    keys: dataKeys,
    clock,
    fetchAllow: settings.fetchAllow,
  });
  const secretStore = createClientSecretStore(database, clock, storage.changes);
  const secretUse = createSecretUse(secretStore, clock, {
    onError: (error) => logger.warn({ err: error }, 'the use of a secret was not noted'),
  });
  const pages = createProviderPages(show, views.text, async (id) => (await users.findById(id))?.username);
  const build = (ring: KeyRing) =>
    buildProvider({
      settings,
      clock,
      logger,
      metrics,
      dataKeys,
      ring,
      verify,
      storage,
      clients,
      apis,
      pages,
      secretUsed: secretUse.used,
    });
  const engine = createEngine(build(keys.ring()), settings.jwksMaxAge);
  let published = publish(keys.publicJwks);
  keys.follow((ring) => {
    engine.swap(build(ring));
    published = publish(ring.publicJwks);
  });
  let draining = false;
  const health = createHealth({
    database: async () => (await database.sql.read('health', 'SELECT 1 AS one')).length === 1,
    keys: () => keys.algorithms.length > 0,
    draining: () => draining,
  });
  const csrf = createCsrf(dataKeys.derived('csrf'));
  const throttle = createThrottle(storage.throttles, dataKeys, clock);
  const grants = createGrantAdministration(
    createGrantLists(database, dataKeys, clock, storage.changes),
    storage.sessions,
    storage.consents,
  );
  const browserSessions = createBrowserSessions(engine.provider, storage.sessions, clock, settings);
  const visitors = createVisitorSignIn({
    show,
    csrf,
    basePath,
    browserSessions,
    accounts,
    throttle,
    changes: storage.changes,
  });
  const koa = createServer({
    settings,
    logger,
    metrics,
    engine,
    cors: createCors(clients.originRegistered),
    show,
    views,
    health,
    jwks: () => published,
    interactions: createInteractions({
      provider: engine.provider,
      clock,
      show,
      csrf,
      basePath,
      clients,
      apis,
      accounts,
      throttle,
      users,
      consents: storage.consents,
      browserSessions,
      changes: storage.changes,
    }),
    account: createAccountPages({
      audit: createAuditLog(database),
      clock,
      show,
      csrf,
      basePath,
      browserSessions,
      visitors,
      clients,
      apis,
      accounts,
      grants,
      throttle,
    }),
    device: createDevicePages({
      show,
      csrf,
      basePath,
      browserSessions,
      visitors,
      decisions: createDeviceDecisions({ ...storage, apis, clock }),
      clients,
      apis,
      accounts,
      throttle,
      changes: storage.changes,
    }),
    admin: createAdminApi({
      issuer: settings.issuer,
      bearer: createAdminBearer(verify, storage.accessTokens),
      registry: clients,
      clients: administration,
      secrets: createSecretAdministration({
        store: secretStore,
        clients: storage.clients,
        keys: dataKeys,
        clock,
      }),
      apis: createApiAdministration(storage.apis, apis),
      accounts,
      grants,
      tokens: createTokenInspector({
        issuer: settings.issuer,
        clock,
        ring: keys,
        dataKeys,
        storage,
        clients,
        apis,
      }),
      keys: rotation,
      webhooks: createWebhookAdministration({
        store: storage.webhooks,
        outbox: storage.outbox,
        fetch,
        clock,
        fetchAllow: settings.fetchAllow,
      }),
      audit: createAuditLog(database),
      changes: storage.changes,
    }),
  });

  const forget = { clients: clients.forget, apis: apis.forget };
  const deliverer = createDeliverer({ ...storage, fetch, clock, logger });
  const duties = [deliverer];
  background = startBackground({ settings, clock, logger, metrics, storage, keys, rotation, forget, duties });

  let listening: Listening | undefined;
  return {
    koa,
    metrics,
    logger,
    health,
    domain: { accounts, clients: administration, storage },
    migrations: storage.migrations,
    async listen({ management: wanted } = { management: true }) {
      const handle = koa.callback();
      const management = wanted ? createManagementServer({ metrics, health, version: VERSION }) : undefined;
      listening = await listen(settings, (req, res) => void handle(req, res), management);
      return listening;
    },
    async close(grace) {
      draining = true;
      await listening?.close(grace);
      await background?.stop();
      await deliverer.idle();
      await secretUse.close();
      await database.close();
    },
  };
}

const asBootstrap = (admin: {
  client_id: string;
  client_secret: string;
}): { id: string; secret: string } => ({
  id: admin.client_id,
  secret: admin.client_secret,
});
