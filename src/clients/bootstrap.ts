/** The first admin client: made when there are no clients yet, so that everything else can be done through the API. */
import { PortcullisError } from '../lib/errors.ts';
import type { ClientStore } from '../storage/clients.ts';
import type { DataKeys } from '../storage/data-keys.ts';
import { ADMIN_SCOPES } from './apis.ts';
import { parseClient, type ClientMetadata } from './metadata.ts';
import { newSecret } from './secrets.ts';

/**
 * Makes a confidential client_credentials client with every admin scope.
 * @param now epoch milliseconds
 * @returns false when there was a client already: nothing was done
 */
export async function bootstrapAdmin(
  store: ClientStore<ClientMetadata>,
  keys: DataKeys,
  credentials: { readonly id: string; readonly secret: string },
  now: number,
): Promise<boolean> {
  const { data } = await store.list({ limit: 1 });
  if (data.length > 0) return false;
  const metadata = parseClient(
    {
      client_id: credentials.id,
      client_name: 'Administration',
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'client_secret_basic',
      redirect_uris: [],
      scope: ADMIN_SCOPES.map(({ name }) => name).join(' '),
    },
    {
      isScope: () => true,
      isApi: () => true,
      mayGrantScope: () => true,
      mayBeFirstParty: true,
      mayFetchOverHttp: () => false,
    },
  );
  const { secret } = newSecret(credentials.id, keys, now, { name: 'bootstrap', value: credentials.secret });
  try {
    await store.create({ id: credentials.id, metadata }, secret, [
      {
        type: 'client.created',
        actor: 'system',
        clientId: credentials.id,
        detail: { bootstrap: true },
      },
    ]);
  } catch (error) {
    // Another node was first.
    if (error instanceof PortcullisError && error.code === 'client_exists') return false;
    throw error;
  }
  return true;
}
