/** The `claims` parameter (OIDC Core 5.5): what of it a client may ask for. */
import { errors, type Client, type KoaContextWithOIDC } from 'oidc-provider';
import { isDeeper } from '../lib/documents.ts';
import { SCOPE_CLAIMS } from '../users/claims.ts';
import { recordOf } from './client-adapter.ts';
import { scopeList } from './resources.ts';

/** Levels: OIDC Core 5.5 needs four, and values may be objects. */
const CLAIMS_DEPTH = 16;

/** The scope that each claim about a person belongs to. */
const SCOPE_OF: ReadonlyMap<string, string> = new Map(
  Object.entries(SCOPE_CLAIMS).flatMap(([scope, names]) => names.map((name) => [name, scope] as const)),
);

/**
 * The engine's check of the parameter. A claim of a scope that the client is not registered for is left out, silently,
 * like any that cannot be given (5.5.1): the parameter is no way around the client's scope, for first parties above all.
 * Trap (`actions/authorization/pushed_authorization_requests.js`): claims that are nested deeply end the stack, a 500.
 */
export function checkClaims({ oidc }: KoaContextWithOIDC, claims: unknown, client: Client): void {
  if (typeof claims !== 'string' || !oidc.params) return;
  const asked = JSON.parse(claims) as Record<string, Record<string, unknown> | undefined>;
  if (isDeeper(asked, CLAIMS_DEPTH)) throw new errors.InvalidRequest('claims are nested too deeply');
  const allowed = new Set(scopeList(recordOf(client).metadata.scope));
  for (const member of ['userinfo', 'id_token']) {
    const names = asked[member] ?? {};
    for (const name of Object.keys(names)) {
      const scope = SCOPE_OF.get(name);
      if (scope !== undefined && !allowed.has(scope)) Reflect.deleteProperty(names, name);
    }
  }
  oidc.params['claims'] = JSON.stringify(asked);
}
