/**
 * Whoever can make a credential of a client can become that client. So a client that may ask for scopes of the admin
 * API is given one only by a caller whose token holds them all, its own client included: else a token with one scope
 * would be worth every scope of its client.
 */
import { ADMIN_SCOPES } from '../../clients/apis.ts';
import type { ClientRegistry } from '../../clients/registry.ts';
import { isObject } from '../../lib/documents.ts';
import { PortcullisError } from '../../lib/errors.ts';
import type { Caller } from './caller.ts';

/** A refusal is `insufficient_scope` (403). */
export interface CredentialGuard {
  /** Before a secret of a client is made. */
  secret(clientId: string, by: Caller): Promise<void>;
  /** Before a client is changed. */
  patch(clientId: string, patch: unknown, by: Caller): Promise<void>;
}

/** Members that decide how a client authenticates. */
const CREDENTIALS = ['token_endpoint_auth_method', 'token_endpoint_auth_signing_alg', 'jwks', 'jwks_uri'];

export function createCredentialGuard(clients: Pick<ClientRegistry, 'get'>): CredentialGuard {
  const adminScopes = async (id: string): Promise<string[]> => {
    const scopes = (await clients.get(id))?.metadata.scope.split(' ') ?? [];
    return ADMIN_SCOPES.map(({ name }) => name).filter((name) => scopes.includes(name));
  };
  const secret: CredentialGuard['secret'] = async (clientId, { scopes }) => {
    const missing = (await adminScopes(clientId)).filter((name) => !scopes.includes(name));
    if (missing.length === 0) return;
    throw new PortcullisError(
      'insufficient_scope',
      403,
      `A credential of this client is for callers who hold ${missing.join(' ')} themselves.`,
    );
  };
  return {
    secret,
    async patch(clientId, patch, by) {
      if (isObject(patch) && CREDENTIALS.some((member) => member in patch)) await secret(clientId, by);
    },
  };
}
