/** Who may introspect and revoke which token. */
import { type Client, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { recordOf } from './client-adapter.ts';
import type { ProviderDependencies } from './dependencies.ts';

interface Token {
  readonly kind: string;
  readonly clientId?: string | undefined;
  readonly aud?: string | string[] | undefined;
}

const ACCESS = new Set(['AccessToken', 'ClientCredentials']);

export function createVisibility(_deps: ProviderDependencies) {
  return {
    /** A client sees its own tokens; an API's client sees the access tokens meant for that API. */
    async introspection(_ctx: KoaContextWithOIDC, client: Client, token: unknown): Promise<boolean> {
      const { kind, clientId, aud } = token as Token;
      if (client.clientAuthMethod === 'none')
        throw new errors.InvalidClientAuth('public clients may not introspect');
      if (clientId === client.clientId) return true;
      return ACCESS.has(kind) && typeof aud === 'string' && recordOf(client).metadata.serves.includes(aud);
    },
    /** A token's own client only; for any other nothing happens (RFC 7009, 2.1 leaves the answer open). */
    async revocation(_ctx: KoaContextWithOIDC, client: Client, token: unknown): Promise<boolean> {
      return (token as Token).clientId === client.clientId;
    },
  };
}
