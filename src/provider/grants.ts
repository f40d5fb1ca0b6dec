/**
 * One grant for each authorization, made from what the user has allowed before and just now.
 * Trap (`actions/authorization/session.js`): the engine would reuse one grant per browser session and client, so
 * that reuse detected in one tab ended the other tab's tokens.
 */
import type { Grant, KoaContextWithOIDC } from 'oidc-provider';
import { OIDC_SCOPES, type ApiRegistry } from '../clients/apis.ts';
import { randomId } from '../lib/ids.ts';
import type { ConsentScopes } from '../storage/consents.ts';
import { recordOf } from './client-adapter.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { stateOf } from './request-state.ts';
import { scopeList } from './resources.ts';

const OIDC = new Set<string>(OIDC_SCOPES);

/** Member of `ConsentScopes` for OIDC's own scopes, and for single claims (OIDC Core 5.5). */
export const OIDC_MEMBER = '';
export const CLAIMS_MEMBER = '#claims';

/** Claims that say how somebody signed in, not who they are: no consent is asked for them. */
const PROTOCOL_CLAIMS = new Set(['sub', 'sid', 'auth_time', 'acr', 'amr', 'iss']);

/** The scopes of a stored request by where they belong: OIDC's own, and those of the API that it names. */
export async function scopesByOwner(
  apis: ApiRegistry,
  params: Readonly<Record<string, unknown>>,
): Promise<Record<string, readonly string[]>> {
  const asked = scopeList(params['scope']);
  const scopes: Record<string, readonly string[]> = { [OIDC_MEMBER]: asked.filter((name) => OIDC.has(name)) };
  for (const identifier of [params['resource']].flat()) {
    const api = typeof identifier === 'string' ? await apis.get(identifier) : undefined;
    if (!api) continue;
    const own = new Set(api.scopes.map(({ name }) => name));
    scopes[api.identifier] = asked.filter((name) => own.has(name));
  }
  return scopes;
}

/** What an authorization request asks for, in the form that consents are kept in. */
function requestedScopes(ctx: KoaContextWithOIDC): ConsentScopes {
  const asked = scopeList(ctx.oidc.params?.['scope']);
  const claims = [...ctx.oidc.requestParamClaims].filter((name) => !PROTOCOL_CLAIMS.has(name));
  const requested: Record<string, string[]> = { [OIDC_MEMBER]: asked.filter((name) => OIDC.has(name)) };
  for (const [identifier, server] of Object.entries(ctx.oidc.resourceServers ?? {})) {
    requested[identifier] = asked.filter((name) => !OIDC.has(name) && server.scopes.has(name));
  }
  if (claims.length > 0) requested[CLAIMS_MEMBER] = claims;
  return requested;
}

const within = (asked: ConsentScopes, allowed: ConsentScopes): ConsentScopes =>
  Object.fromEntries(
    Object.entries(asked).map(([member, names]) => [
      member,
      names.filter((name) => allowed[member]?.includes(name)),
    ]),
  );

/** What of `asked` is not in `allowed`; members without any are left out. */
export function notYetAllowed(asked: ConsentScopes, allowed: ConsentScopes): ConsentScopes {
  return Object.fromEntries(
    Object.entries(asked)
      .map(([member, names]) => [member, names.filter((name) => !allowed[member]?.includes(name))] as const)
      .filter(([, names]) => names.length > 0),
  );
}

/** The engine's `loadExistingGrant`: a new grant, not yet saved; it is saved with the code. */
export function createGrantLoader(deps: ProviderDependencies) {
  return async (ctx: KoaContextWithOIDC): Promise<Grant> => {
    const { client, account, provider } = ctx.oidc;
    if (!client || !account) throw new Error('a grant is made for a client and an account');
    const consent = await deps.storage.consents.find(account.accountId, client.clientId);
    if (consent) stateOf(ctx).consentGeneration = consent.generation;
    const asked = requestedScopes(ctx);
    const granted = recordOf(client).metadata.first_party ? asked : within(asked, consent?.scopes ?? {});
    const grant = new provider.Grant({
      jti: randomId(16),
      accountId: account.accountId,
      clientId: client.clientId,
    } as never);
    const oidc = granted[OIDC_MEMBER] ?? [];
    if (oidc.length > 0) grant.addOIDCScope(oidc.join(' '));
    if (granted[CLAIMS_MEMBER]) grant.addOIDCClaims([...granted[CLAIMS_MEMBER]]);
    for (const identifier of Object.keys(ctx.oidc.resourceServers ?? {})) {
      // An API's token lists every granted scope, OIDC's included, so that it works at /userinfo too.
      const scopes = [...oidc, ...(granted[identifier] ?? [])];
      if (scopes.length > 0) grant.addResourceScope(identifier, scopes.join(' '));
    }
    return grant;
  };
}
