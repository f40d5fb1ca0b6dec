/** Clients in the engine's words, and the options that are ours alone. */
import type { Adapter, AdapterPayload, Client, Provider } from 'oidc-provider';
import type { Client as ClientRecord } from '../clients/registry.ts';
import type { Settings } from '../config/schema.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { currentState } from './request-state.ts';

/** Our options of a client, settings filled in; lifetimes in seconds. */
export interface ClientOptions {
  readonly rotationGrace: number;
  readonly refreshIdleTtl: number;
  readonly refreshMaxTtl: number;
  readonly accessTokenTtl: number | undefined;
}

/** A client's options, the settings' where the client has none. */
export function optionsOf({ metadata }: ClientRecord, settings: Settings): ClientOptions {
  return {
    rotationGrace: metadata.rotation_grace ?? settings.rotationGrace,
    refreshIdleTtl: metadata.refresh_token_idle_ttl ?? settings.refreshIdleTtl,
    refreshMaxTtl: metadata.refresh_token_max_ttl ?? settings.refreshMaxTtl,
    accessTokenTtl: metadata.access_token_ttl,
  };
}

/** Members that the engine validates and uses; everything else stays with us. */
const ENGINE_MEMBERS = [
  'client_name',
  'client_uri',
  'logo_uri',
  'policy_uri',
  'tos_uri',
  'contacts',
  'application_type',
  'redirect_uris',
  'post_logout_redirect_uris',
  'grant_types',
  'token_endpoint_auth_method',
  'token_endpoint_auth_signing_alg',
  'jwks',
  'jwks_uri',
  'default_max_age',
  'require_auth_time',
  'id_token_signed_response_alg',
  'initiate_login_uri',
  'dpop_bound_access_tokens',
  'require_pushed_authorization_requests',
] as const;

const SECRET_METHODS = new Set(['client_secret_basic', 'client_secret_post']);

/** The record behind an engine's client, as this request has read it. Synchronous, as the engine's CORS hook is. */
export function recordOf(client: Client): ClientRecord {
  const record = currentState().clients.get(client.clientId);
  if (!record) throw new Error('a client without its record');
  return record;
}

/** The engine's document for a client of ours. */
function engineDocument(record: ClientRecord, keys: ProviderDependencies['dataKeys']): AdapterPayload {
  const metadata = record.metadata as unknown as Record<string, unknown>;
  const document: Record<string, unknown> = { client_id: record.id };
  for (const name of ENGINE_MEMBERS) if (metadata[name] !== undefined) document[name] = metadata[name];
  const grants = record.metadata.grant_types;
  document['response_types'] = grants.includes('authorization_code') ? ['code'] : [];
  document['redirect_uris'] ??= [];
  if (SECRET_METHODS.has(record.metadata.token_endpoint_auth_method)) {
    // The engine wants a secret to be there; it is never compared (see client-auth.ts). Were it compared, this
    // fails closed: nobody can make this without the hash key.
    document['client_secret'] = keys.hash('client secret placeholder', record.id).toString('base64url');
  }
  return document;
}

/**
 * Trap (`models/client.js`): at every look the engine serializes and hashes the whole document of a client, to see
 * whether it is the one it knows. A record that is the same object holds the same document.
 */
export function rememberClients(
  provider: Provider,
  { clients }: Pick<ProviderDependencies, 'clients'>,
): void {
  const known = new WeakMap<ClientRecord, Client>();
  const find = provider.Client.find.bind(provider.Client);
  provider.Client.find = async (id) => {
    const record = typeof id === 'string' ? await clients.get(id) : undefined;
    const client = record?.enabled ? known.get(record) : undefined;
    if (record && client) {
      currentState().clients.set(id, record);
      return client;
    }
    const found = await find(id);
    const read = found && currentState().clients.get(id); // what the adapter has read, maybe a moment later
    if (read) known.set(read, found);
    return found;
  };
}

export function createClientAdapter(deps: ProviderDependencies): Adapter {
  const unexpected = (): never => {
    throw new Error('the engine is not expected to write clients');
  };
  const documents = new WeakMap<ClientRecord, AdapterPayload>();
  return {
    async find(id) {
      const record = await deps.clients.get(id);
      if (!record?.enabled) return undefined;
      currentState().clients.set(id, record);
      let document = documents.get(record);
      if (!document) {
        document = engineDocument(record, deps.dataKeys);
        documents.set(record, document);
      }
      return document;
    },
    upsert: unexpected,
    destroy: unexpected,
    consume: unexpected,
    findByUid: unexpected,
    findByUserCode: unexpected,
    revokeByGrantId: unexpected,
  };
}
