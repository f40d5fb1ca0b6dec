/**
 * Audience and scope: which API a token is for, and which scopes it may carry (RFC 8707).
 * `resource` decides, else the API that owns the requested scopes, else the default API. One token, one API.
 */
import { errors, type Client, type KoaContextWithOIDC, type ResourceServer } from 'oidc-provider';
import { ADMIN_API, generationOf, isOfApi, OIDC_SCOPES } from '../clients/apis.ts';
import type { ApiRecord } from '../storage/apis.ts';
import { optionsOf, recordOf } from './client-adapter.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { API_GENERATIONS, stateOf } from './request-state.ts';

const OIDC = new Set<string>(OIDC_SCOPES);

/** Splits a space-separated scope. */
export const scopeList = (scope: unknown): string[] =>
  typeof scope === 'string' ? scope.split(' ').filter(Boolean) : [];

const isClientCredentials = (ctx: KoaContextWithOIDC): boolean =>
  ctx.oidc.params?.['grant_type'] === 'client_credentials';

/** Scopes asked for now, which must all be allowed; a refresh merely narrows what was granted. */
const asksForScopes = (ctx: KoaContextWithOIDC): boolean =>
  ctx.oidc.route !== 'token' || isClientCredentials(ctx);

/** The scopes that a token is issued for: those asked for now, or those of what is redeemed. */
function issuedScopes(ctx: KoaContextWithOIDC): string[] {
  if (asksForScopes(ctx)) return scopeList(ctx.oidc.params?.['scope']);
  const { AuthorizationCode, DeviceCode, RefreshToken } = ctx.oidc.entities;
  return scopeList((RefreshToken ?? AuthorizationCode ?? DeviceCode)?.scope);
}

/** The API's generation that a code or refresh token was issued for; undefined where scopes are asked for now. */
async function issuedGeneration(ctx: KoaContextWithOIDC, identifier: string): Promise<unknown> {
  const { Grant } = ctx.oidc.entities;
  if (asksForScopes(ctx) || Grant?.jti === undefined) return undefined;
  const family = await stateOf(ctx).families.get(Grant.jti);
  const generations = family?.grant[API_GENERATIONS] as Readonly<Record<string, number>> | undefined;
  return generations?.[identifier];
}

export interface Resources {
  defaultResource(ctx: KoaContextWithOIDC, client: Client, oneOf?: string[]): Promise<string>;
  getResourceServerInfo(ctx: KoaContextWithOIDC, identifier: string, client: Client): Promise<ResourceServer>;
}

export function createResources(deps: ProviderDependencies): Resources {
  const { apis, settings, ring } = deps;
  /** An API keeps the JWKS for a while: until every cache knows the first key of an algorithm, it does not sign. */
  const signable = (alg: string): 'ES256' => (ring.algorithms.includes(alg) ? (alg as 'ES256') : 'ES256');
  /**
   * Whether a client gets a token for an API: an audience alone is power where the API looks no further. So one of
   * the API's scopes must be asked for and allowed to the client. Where an API has none, a client may act for itself;
   * for people it must be first-party, for they could not tell what they allow.
   */
  const isForClient = (api: ApiRecord, trusted: boolean, ofApi: readonly string[], issued: string[]) =>
    api.identifier === settings.defaultApi ||
    (api.scopes.length === 0 ? trusted : ofApi.some((name) => issued.includes(name)));
  return {
    async defaultResource(ctx, _client, oneOf) {
      if (oneOf) {
        const [only, ...others] = oneOf;
        if (only === undefined || others.length > 0)
          throw new errors.InvalidTarget('one token serves one API');
        return only;
      }
      const owners = new Set<string>();
      for (const scope of scopeList(ctx.oidc.params?.['scope'])) {
        if (OIDC.has(scope)) continue;
        const owner = await apis.ofScope(scope);
        if (owner === undefined) throw new errors.InvalidScope('requested scope is not known', scope);
        if (owner === ADMIN_API && !isClientCredentials(ctx))
          throw new errors.InvalidScope('requested scope is not allowed', scope);
        owners.add(owner);
      }
      const [first, ...others] = owners;
      if (others.length > 0) {
        throw new errors.InvalidTarget(
          'the scopes belong to several APIs: name one by the resource parameter',
        );
      }
      return first ?? settings.defaultApi;
    },
    async getResourceServerInfo(ctx, identifier, client) {
      const asked = ctx.oidc.params?.['resource'];
      if (Array.isArray(asked) && asked.length > 1)
        throw new errors.InvalidTarget('one token serves one API');
      const api = await apis.get(identifier);
      if (!api) throw new errors.InvalidTarget('the requested resource is not known');
      const own = isClientCredentials(ctx);
      // Nobody signs in to the administration API through a browser: its scopes are a client's own.
      if (identifier === ADMIN_API && !own)
        throw new errors.InvalidTarget('the requested resource is not available');
      if (!isOfApi(api, settings.defaultApi, await issuedGeneration(ctx, identifier)))
        throw new errors.InvalidTarget('the requested resource is another one by now');
      stateOf(ctx).apiGenerations.set(identifier, generationOf(api, settings.defaultApi));
      const record = recordOf(client);
      const allowed = new Set(scopeList(record.metadata.scope));
      const ofApi = api.scopes.map(({ name }) => name).filter((name) => allowed.has(name));
      const known = new Set<string>(
        own ? ofApi : [...ofApi, ...OIDC_SCOPES.filter((name) => allowed.has(name))],
      );
      if (asksForScopes(ctx)) {
        const { params } = ctx.oidc;
        // A client that names no scope gets what it is registered for at this API (RFC 6749, 3.3).
        if (own && params && params['scope'] === undefined && ofApi.length > 0)
          params['scope'] = ofApi.join(' ');
        const scopes = scopeList(params?.['scope']);
        // RFC 6749, 3.3: no default is chosen for people, who could not tell what they allow.
        if (scopes.length === 0 && !own)
          throw new errors.CustomOIDCProviderError('invalid_scope', 'a scope must be requested');
        for (const scope of scopes) {
          if (!known.has(scope)) throw new errors.InvalidScope('requested scope is not allowed', scope);
        }
      }
      if (!isForClient(api, own || record.metadata.first_party, ofApi, issuedScopes(ctx)))
        throw new errors.InvalidTarget('no scope of the requested resource is granted'); // RFC 8707, 2
      const options = optionsOf(record, settings);
      return {
        audience: identifier,
        scope: [...known].join(' '),
        accessTokenFormat: api.accessTokenFormat,
        accessTokenTTL: options.accessTokenTtl ?? api.accessTokenTtl ?? settings.accessTokenTtl,
        ...(api.accessTokenFormat === 'jwt' ? { jwt: { sign: { alg: signable(api.signingAlg) } } } : {}),
      };
    },
  };
}
