/** What admins do to APIs: every change is validated as a whole, audited, and in force at once. */
import { PortcullisError } from '../lib/errors.ts';
import type { ApiRecord, ApiStore } from '../storage/apis.ts';
import { originOf, type Origin } from '../storage/origin.ts';
import type { Page, PageRequest } from '../storage/pages.ts';
import { versionMismatch } from '../storage/versions.ts';
import type { EventOf } from '../telemetry/events.ts';
import { MAX_TRIES } from './administration.ts';
import { mergeApi, parseApi } from './api-schema.ts';
import type { ApiRegistry } from './apis.ts';

/** A faulty document is `invalid_api` (422), a scope of another API `scope_taken` (409). */
export interface ApiAdministration {
  /** Those that are built in too. @throws PortcullisError `not_found` (404) */
  get(identifier: string): Promise<ApiRecord>;
  /** Those that were created, oldest first. */
  list(page: PageRequest): Promise<Page<ApiRecord>>;
  /** @throws PortcullisError `api_exists` (409) */
  create(document: unknown, by: Origin): Promise<ApiRecord>;
  /**
   * Applies a merge patch; scopes are replaced as a whole.
   * @param version the one that the caller saw; undefined: whichever
   * @throws PortcullisError `not_found` (404), `version_mismatch` (412)
   */
  change(identifier: string, patch: unknown, by: Origin, version?: number): Promise<ApiRecord>;
  /** Idempotent. Its tokens are inactive from now on. @throws PortcullisError `version_mismatch` (412) */
  remove(identifier: string, by: Origin, version?: number): Promise<void>;
}

type Verb = 'api.created' | 'api.updated' | 'api.deleted';

const event = <T extends Verb>(type: T, identifier: string, by: Origin) =>
  ({ type, ...originOf(by), detail: { identifier } }) as EventOf<T>;

/** @param needKey told of the algorithm that tokens are to be signed with, before the API is stored */
export function createApiAdministration(
  store: ApiStore,
  registry: Pick<ApiRegistry, 'get'>,
  needKey: (alg: string) => Promise<void>,
): ApiAdministration {
  const missing = (): PortcullisError => new PortcullisError('not_found', 404, 'There is no such API.');
  return {
    async get(identifier) {
      const api = (await store.find(identifier)) ?? (await registry.get(identifier));
      if (!api) throw missing();
      return api;
    },
    list: (page) => store.list(page),
    async create(document, by) {
      const api = parseApi(document);
      await needKey(api.signingAlg);
      return store.create(api, event('api.created', api.identifier, by));
    },
    async change(identifier, patch, by, version) {
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const before = await store.find(identifier);
        if (!before) throw missing();
        if (version !== undefined && version !== before.version) throw versionMismatch();
        const after = mergeApi(before, patch);
        await needKey(after.signingAlg);
        if (await store.update(after, before.version, event('api.updated', identifier, by))) {
          return (await store.find(identifier)) ?? before;
        }
      }
      throw versionMismatch();
    },
    async remove(identifier, by, version) {
      await store.delete(identifier, event('api.deleted', identifier, by), version);
    },
  };
}
