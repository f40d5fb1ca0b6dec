/** The APIs as requests see them: from memory, with the two that are built in; reloaded when any API changes. */
import type { ApiRecord, ApiScope, ApiStore } from '../storage/apis.ts';
import { createCache } from './cache.ts';
import type { RegistryOptions } from './registry.ts';

/** Audience of the admin API's tokens. */
export const ADMIN_API = 'urn:portcullis:admin';

/** Scopes of OpenID Connect: they belong to no API. */
export const OIDC_SCOPES: readonly string[] = [
  'openid',
  'profile',
  'email',
  'address',
  'phone',
  'offline_access',
];

/** What each scope of the admin API lets its holder do. */
export const ADMIN_SCOPES: readonly ApiScope[] = [
  { name: 'clients:read', description: 'See clients and what is known of their secrets' },
  { name: 'clients:write', description: 'Create, change, disable and delete clients' },
  { name: 'secrets:write', description: 'Add, rotate and revoke client secrets' },
  { name: 'apis:read', description: 'See APIs and their scopes' },
  { name: 'apis:write', description: 'Create, change and delete APIs' },
  { name: 'users:read', description: 'See users' },
  { name: 'users:write', description: 'Create, change, disable and delete users, and set passwords' },
  { name: 'grants:read', description: 'See grants and browser sessions' },
  { name: 'grants:write', description: 'End grants and browser sessions' },
  { name: 'tokens:read', description: 'Look into any token' },
  { name: 'tokens:write', description: 'Revoke any token' },
  { name: 'keys:read', description: 'See signing keys' },
  { name: 'keys:write', description: 'Rotate and retire signing keys' },
  { name: 'webhooks:read', description: 'See webhooks' },
  { name: 'webhooks:write', description: 'Create, change and delete webhooks' },
  { name: 'audit:read', description: 'Read the audit log' },
];

/** Whether no API may have a scope of this name. */
export const isReservedScope = (name: string): boolean =>
  OIDC_SCOPES.includes(name) || ADMIN_SCOPES.some((scope) => scope.name === name);

/**
 * What tells an API from another one that had its identifier before: the instant of its creation. Tokens and families
 * keep it, so that they do not come alive again with a new API. The default API is always there, stored or not.
 */
export const generationOf = ({ identifier, createdAt }: ApiRecord, defaultApi: string): number =>
  identifier === defaultApi ? 0 : createdAt;

/** Whether what was issued for an API is for this one; `generation` is undefined where an older release issued it. */
export const isOfApi = (api: ApiRecord | undefined, defaultApi: string, generation: unknown): boolean =>
  api !== undefined && (generation === undefined || generation === generationOf(api, defaultApi));

export interface ApiRegistry {
  get(identifier: string): Promise<ApiRecord | undefined>;
  /** The identifier of the API that owns a scope; undefined for OIDC's scopes and unknown ones. */
  ofScope(scope: string): Promise<string | undefined>;
  /** Every API, those that are built in first. */
  all(): Promise<readonly ApiRecord[]>;
  /** To be called when the APIs have changed. */
  forget(): void;
}

interface Snapshot {
  readonly apis: ReadonlyMap<string, ApiRecord>;
  readonly owners: ReadonlyMap<string, string>;
}

const builtIn = (identifier: string, name: string, scopes: readonly ApiScope[]): ApiRecord => ({
  identifier,
  name,
  scopes,
  accessTokenFormat: 'jwt',
  accessTokenTtl: undefined,
  signingAlg: 'ES256',
  version: 0,
  createdAt: 0,
  updatedAt: 0,
});

/**
 * @param names.defaultApi identifier of the API that takes what no other does; a stored API of that name replaces it
 * @param names.adminApi identifier of the admin API; nothing replaces it
 */
export function createApiRegistry(
  store: Pick<ApiStore, 'all'>,
  names: { readonly defaultApi: string; readonly adminApi?: string },
  { now, ttlMs = 30_000 }: Omit<RegistryOptions, 'max'>,
): ApiRegistry {
  const fallback = builtIn(names.defaultApi, 'Default API', []);
  const admin = builtIn(names.adminApi ?? ADMIN_API, 'Admin API', ADMIN_SCOPES);
  const cache = createCache<Snapshot>(
    async () => {
      const apis = new Map([fallback, admin].map((api) => [api.identifier, api]));
      for (const api of await store.all())
        if (api.identifier !== admin.identifier) apis.set(api.identifier, api);
      const owners = new Map(
        [...apis.values()].flatMap(({ identifier, scopes }) => scopes.map(({ name }) => [name, identifier])),
      );
      return { apis, owners };
    },
    { now, ttlMs, missTtlMs: 0, max: 1 },
  );
  const snapshot = async (): Promise<Snapshot> => (await cache.get('all')) as Snapshot;
  return {
    get: async (identifier) => (await snapshot()).apis.get(identifier),
    ofScope: async (scope) => (await snapshot()).owners.get(scope),
    all: async () => [...(await snapshot()).apis.values()],
    forget: cache.forget,
  };
}
