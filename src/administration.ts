/** What admins work with: the admin API and what it alone needs. The app makes it. */
import type { Middleware } from 'koa';
import { createApiAdministration } from './clients/api-administration.ts';
import type { ApiRegistry } from './clients/apis.ts';
import type { ClientMetadata } from './clients/metadata.ts';
import type { ClientRegistry } from './clients/registry.ts';
import { createSecretAdministration } from './clients/secret-administration.ts';
import type { Settings } from './config/schema.ts';
import { createAdminApi, type AdminDependencies } from './http/admin/admin-api.ts';
import type { CurrentKeys } from './keys/current.ts';
import type { KeyRotation } from './keys/rotation.ts';
import type { Clock } from './lib/clock.ts';
import { createAdminBearer } from './provider/admin-bearer.ts';
import type { TokenVerifier } from './provider/jwt-access-tokens.ts';
import { createTokenInspector } from './provider/token-inspector.ts';
import { createAuditLog } from './storage/audit.ts';
import type { ClientSecretStore } from './storage/client-secrets.ts';
import type { Storage } from './storage/open.ts';

export interface AdministrationDependencies extends Pick<
  AdminDependencies,
  'accounts' | 'clients' | 'grants' | 'secondFactors' | 'webhooks'
> {
  readonly settings: Pick<Settings, 'issuer' | 'defaultApi'>;
  readonly clock: Clock;
  readonly storage: Storage<ClientMetadata>;
  readonly secretStore: ClientSecretStore;
  readonly registry: ClientRegistry;
  readonly apis: ApiRegistry;
  readonly keys: CurrentKeys;
  readonly rotation: KeyRotation;
  readonly verify: TokenVerifier;
}

/** Answers below `/admin/v1`. */
export function createAdministration(deps: AdministrationDependencies): Middleware {
  const { settings, clock, storage, registry, apis, keys, rotation } = deps;
  const { dataKeys } = storage;
  const { issuer } = settings;
  return createAdminApi({
    ...deps,
    issuer,
    bearer: createAdminBearer(deps.verify, storage.accessTokens),
    secrets: createSecretAdministration({
      store: deps.secretStore,
      clients: storage.clients,
      keys: dataKeys,
      clock,
    }),
    apis: createApiAdministration(storage.apis, apis, rotation.need),
    tokens: createTokenInspector({
      issuer,
      defaultApi: settings.defaultApi,
      clock,
      ring: keys,
      dataKeys,
      storage,
      clients: registry,
      apis,
    }),
    keys: rotation,
    logoutNotices: storage.logoutNotices,
    audit: createAuditLog(storage.database),
    changes: storage.changes,
  });
}
