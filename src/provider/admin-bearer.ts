/** Who calls the admin API: a client with its own access token for it, verified and alive. */
import { ADMIN_API } from '../clients/apis.ts';
import type { AccessTokens } from '../storage/access-tokens.ts';
import type { TokenVerifier } from './jwt-access-tokens.ts';
import { scopeList } from './resources.ts';

/** The client behind an admin request. */
export interface AdminCaller {
  readonly clientId: string;
  readonly scopes: readonly string[];
}

/** Finds the caller behind a bearer token; undefined when the token is not one for the admin API, or is dead. */
export type AdminBearer = (token: string) => Promise<AdminCaller | undefined>;

export function createAdminBearer(verify: TokenVerifier, accessTokens: AccessTokens): AdminBearer {
  return async (token) => {
    const found = verify(token);
    // A token bound to a key (RFC 9449) is no bearer token; a user's token is never for this API.
    if (!found || found.aud !== ADMIN_API || found.jkt !== undefined || found.grantId !== undefined)
      return undefined;
    const { clientId, clientGeneration, jti, scope } = found;
    if (clientGeneration === undefined) return undefined;
    if (!(await accessTokens.clientAlive(clientId, clientGeneration, jti))) return undefined;
    return { clientId, scopes: scopeList(scope) };
  };
}
