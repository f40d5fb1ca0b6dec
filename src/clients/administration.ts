/** What admins do to clients: every change is validated as a whole, audited, and in force at once. */
import type { Clock } from '../lib/clock.ts';
import { PortcullisError } from '../lib/errors.ts';
import { subjectId } from '../lib/subject-id.ts';
import type { SecretRecord } from '../storage/client-secrets.ts';
import type { ClientStore } from '../storage/clients.ts';
import type { DataKeys } from '../storage/data-keys.ts';
import { originOf, type Origin } from '../storage/origin.ts';
import type { Page, PageRequest } from '../storage/pages.ts';
import { versionMismatch } from '../storage/versions.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { ApiRegistry } from './apis.ts';
import { clientContext } from './client-context.ts';
import { mergeClient, parseClient, type ClientMetadata } from './metadata.ts';
import type { Client } from './registry.ts';
import { newSecret } from './secrets.ts';

/** An admin, and what their access token allows. */
export interface Admin extends Origin {
  readonly scopes: readonly string[];
}

/** A new client; with a secret-based method, its first secret and the secret's value, this once. */
export interface CreatedClient {
  readonly client: Client;
  readonly secret: { readonly value: string; readonly record: SecretRecord } | undefined;
}

/** `version`: the one that the caller saw, or whichever; another by now is `version_mismatch` (412). */
export interface ClientAdministration {
  /** @throws PortcullisError `not_found` (404) */
  get(id: string): Promise<Client>;
  list(page: PageRequest): Promise<Page<Client>>;
  /**
   * @param secretValue a secret that the operator chose
   * @throws PortcullisError as `parseClient`, or `client_exists` (409)
   */
  create(document: unknown, by: Admin, secretValue?: string): Promise<CreatedClient>;
  /**
   * Applies a merge patch.
   * @throws PortcullisError as `mergeClient`, or `not_found` (404)
   */
  change(id: string, patch: unknown, by: Admin, version?: number): Promise<Client>;
  /** Disabling ends everything that the client holds, for good. @throws PortcullisError `not_found` (404) */
  setEnabled(id: string, enabled: boolean, by: Origin, version?: number): Promise<Client>;
  /** Ends everything that the client holds. @throws PortcullisError `not_found` (404) */
  revoke(id: string, by: Origin, version?: number): Promise<void>;
  /** Idempotent. */
  remove(id: string, by: Origin, version?: number): Promise<void>;
}

/** Tries of a change without a version against others that come first each time. */
export const MAX_TRIES = 10;

export function createClientAdministration(dependencies: {
  readonly store: ClientStore<ClientMetadata>;
  readonly apis: ApiRegistry;
  readonly keys: DataKeys;
  readonly clock: Clock;
  /** See `Settings`. */
  readonly fetchAllow: readonly string[];
  /** Told of the algorithm that ID tokens are to be signed with, before the client is. */
  readonly needKey?: (alg: string) => Promise<void>;
}): ClientAdministration {
  const { store, apis, keys, clock, fetchAllow, needKey } = dependencies;
  const contextOf = async ({ scopes }: Admin) =>
    clientContext({ apis: await apis.all(), callerScopes: scopes, fetchAllow });
  const get = async (id: string): Promise<Client> => {
    const client = await store.find(id);
    if (!client) throw new PortcullisError('not_found', 404, 'There is no such client.');
    return client;
  };
  return {
    get,
    list: (page) => store.list(page),
    async create(document, by, secretValue) {
      const parsed = parseClient(document, await contextOf(by));
      const id = parsed.client_id ?? subjectId();
      const metadata = { ...parsed, client_id: id };
      await needKey?.(metadata.id_token_signed_response_alg);
      const subject = { ...originOf(by), clientId: id };
      const events: AuditEvent[] = [{ type: 'client.created', ...subject, detail: {} }];
      if (!metadata.token_endpoint_auth_method.startsWith('client_secret')) {
        return { client: await store.create({ id, metadata }, undefined, events), secret: undefined };
      }
      const made = newSecret(id, keys, clock.now(), { value: secretValue });
      events.push({ type: 'secret.created', ...subject, detail: { secret_id: made.secret.id } });
      const client = await store.create({ id, metadata }, made.secret, events);
      const [record] = client.secrets;
      if (!record) throw new Error('a secret that was just made is missing');
      return { client, secret: { value: made.value, record } };
    },
    async change(id, patch, by, version) {
      const context = await contextOf(by);
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const before = await get(id);
        if (version !== undefined && version !== before.version) throw versionMismatch();
        const metadata = mergeClient(before.metadata, patch, context);
        const events = eventsOf(before, metadata, by);
        if (events.length === 0) return before;
        await needKey?.(metadata.id_token_signed_response_alg);
        if (await store.update(id, metadata, before.version, events)) return get(id);
      }
      throw versionMismatch();
    },
    async setEnabled(id, enabled, by, version) {
      const type = enabled ? 'client.enabled' : 'client.disabled';
      await store.setEnabled(id, enabled, { type, ...originOf(by), clientId: id, detail: {} }, version);
      return get(id);
    },
    revoke: (id, by, version) =>
      store.revokeAll(id, { type: 'client.revoked', ...originOf(by), clientId: id, detail: {} }, version),
    async remove(id, by, version) {
      await store.delete(id, { type: 'client.deleted', ...originOf(by), clientId: id, detail: {} }, version);
    },
  };
}

/** What a change of metadata means; empty when nothing changes. */
function eventsOf(before: Client, after: ClientMetadata, by: Origin): AuditEvent[] {
  const subject = { ...originOf(by), clientId: before.id };
  const changed = changedMembers(before.metadata, after);
  const [others, switched] = [changed.filter((name) => name !== 'enabled'), changed.includes('enabled')];
  const events: AuditEvent[] = [];
  if (others.length > 0) events.push({ type: 'client.updated', ...subject, detail: { changed: others } });
  if (switched) {
    events.push({ type: after.enabled ? 'client.enabled' : 'client.disabled', ...subject, detail: {} });
  }
  return events;
}

/** Names of the members in which two JSON documents differ, sorted. */
function changedMembers(before: object, after: object): string[] {
  const [a, b] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((name) => JSON.stringify(a.get(name)) !== JSON.stringify(b.get(name)))
    .sort();
}
