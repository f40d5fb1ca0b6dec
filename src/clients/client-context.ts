/** What a client document is judged against, from what the admin API knows of its caller and of the APIs. */
import { isFetchAllowed } from '../config/fetch-allow.ts';
import { ADMIN_API } from './apis.ts';
import type { ClientContext } from './metadata.ts';

/**
 * @param from.apis every API, built in ones included
 * @param from.callerScopes the scopes of the admin's access token
 * @param from.fetchAllow see `Settings`
 */
export function clientContext(from: {
  readonly apis: readonly {
    readonly identifier: string;
    readonly scopes: readonly { readonly name: string }[];
  }[];
  readonly callerScopes: readonly string[];
  readonly fetchAllow: readonly string[];
}): ClientContext {
  const scopes = new Set(from.apis.flatMap((api) => api.scopes.map(({ name }) => name)));
  const identifiers = new Set(from.apis.map(({ identifier }) => identifier));
  identifiers.delete(ADMIN_API); // nothing but this server serves it
  return {
    isScope: (name) => scopes.has(name),
    isApi: (identifier) => identifiers.has(identifier),
    mayGrantScope: (name) => from.callerScopes.includes(name),
    mayBeFirstParty: true,
    mayFetchOverHttp: (url) => isFetchAllowed(from.fetchAllow, url),
  };
}
