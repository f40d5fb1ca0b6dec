/**
 * Whoever can make a credential of a client can become that client, and whoever can change it can stop what it does.
 * So a client that may ask for scopes of the admin API is changed only by a caller whose token holds them all, its own
 * client included: else a token with one scope would be worth every scope of its client.
 */
import { ADMIN_SCOPES } from '../../clients/apis.ts';
import type { ClientRegistry } from '../../clients/registry.ts';
import { PortcullisError } from '../../lib/errors.ts';
import type { Caller } from './caller.ts';

/** Before a client or a secret of it is changed, ended or deleted; a refusal is `insufficient_scope` (403). */
export type ClientGuard = (clientId: string, by: Caller) => Promise<void>;

export function createClientGuard(clients: Pick<ClientRegistry, 'get'>): ClientGuard {
  return async (clientId, { scopes }) => {
    const held = (await clients.get(clientId))?.metadata.scope.split(' ') ?? [];
    const missing = ADMIN_SCOPES.map(({ name }) => name).filter(
      (name) => held.includes(name) && !scopes.includes(name),
    );
    if (missing.length === 0) return;
    throw new PortcullisError(
      'insufficient_scope',
      403,
      `This client and its secrets are for callers who hold ${missing.join(' ')} themselves.`,
    );
  };
}
