/** What admins do to the secrets of a client: several may live at once, so that one can take over from another. */
import type { Clock } from '../lib/clock.ts';
import { parseDocument } from './documents.ts';
import { PortcullisError } from '../lib/errors.ts';
import type { ClientSecretStore, SecretRecord, SecretRevocation } from '../storage/client-secrets.ts';
import type { ClientStore } from '../storage/clients.ts';
import type { DataKeys } from '../storage/data-keys.ts';
import { originOf, type Origin } from '../storage/origin.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { ClientMetadata } from './metadata.ts';
import { expireOldAt, rotationSchema, secretPatchSchema, secretSchema } from './secret-schema.ts';
import { newSecret, withStatus, type SecretStatus } from './secrets.ts';

/** A secret and what it is now. */
export type SecretView = SecretRecord & { readonly status: SecretStatus };

/** A new secret with its value, this once. */
export interface CreatedSecret {
  readonly value: string;
  readonly secret: SecretView;
}

/** An unknown client or secret is `not_found` (404), a faulty document `invalid_document` (422). */
export interface SecretAdministration {
  /** Oldest first. */
  list(clientId: string): Promise<SecretView[]>;
  /** @throws PortcullisError `too_many_secrets` (409) */
  add(clientId: string, document: unknown, by: Origin): Promise<CreatedSecret>;
  /** Adds one and lets all others end, none later than it would have. @throws PortcullisError `too_many_secrets` (409) */
  rotate(clientId: string, document: unknown, by: Origin): Promise<CreatedSecret>;
  /** Changes name or expiry. @throws PortcullisError `secret_ended` (409) */
  change(clientId: string, secretId: string, document: unknown, by: Origin): Promise<SecretView>;
  /** Revokes at once. @throws PortcullisError `last_secret` (409) */
  revoke(clientId: string, secretId: string, how: SecretRevocation, by: Origin): Promise<void>;
}

export function createSecretAdministration(dependencies: {
  readonly store: ClientSecretStore;
  readonly clients: Pick<ClientStore<ClientMetadata>, 'find'>;
  readonly keys: DataKeys;
  readonly clock: Clock;
}): SecretAdministration {
  const { store, clients, keys, clock } = dependencies;
  const view = async (clientId: string, secretId: string): Promise<SecretView> => {
    const found = withStatus(await store.list(clientId), clock.now()).find(({ id }) => id === secretId);
    if (!found) throw new PortcullisError('not_found', 404, 'There is no such secret.');
    return found;
  };
  const instant = (text: string | null | undefined): number | null | undefined => {
    const at = typeof text === 'string' ? Date.parse(text) : text;
    if (typeof at !== 'number' || at > clock.now()) return at;
    throw new PortcullisError('invalid_document', 422, 'The document is not valid.', {
      errors: [{ pointer: '/expires_at', detail: 'has passed' }],
    });
  };
  return {
    async list(clientId) {
      const client = await clients.find(clientId);
      if (!client) throw new PortcullisError('not_found', 404, 'There is no such client.');
      return withStatus(client.secrets, clock.now());
    },
    async add(clientId, document, by) {
      const { name, expires_at: expiry } = parseDocument(secretSchema, document);
      const made = newSecret(clientId, keys, clock.now(), { name, expiresAt: instant(expiry) ?? undefined });
      const detail = { secret_id: made.secret.id };
      await store.add(clientId, made.secret, { type: 'secret.created', ...originOf(by), clientId, detail });
      return { value: made.value, secret: await view(clientId, made.secret.id) };
    },
    async rotate(clientId, document, by) {
      const { name, expire_old: expireOld } = parseDocument(rotationSchema, document);
      const now = clock.now();
      const made = newSecret(clientId, keys, now, { name });
      const detail = { secret_id: made.secret.id, expire_old: expireOld };
      const event: AuditEvent = { type: 'secret.rotated', ...originOf(by), clientId, detail };
      await store.rotate(clientId, made.secret, expireOldAt(expireOld, now), event);
      return { value: made.value, secret: await view(clientId, made.secret.id) };
    },
    async change(clientId, secretId, document, by) {
      const { name, expires_at: expiry } = parseDocument(secretPatchSchema, document);
      const detail = { changed: ['secrets'], secret_id: secretId };
      await store.update(
        clientId,
        secretId,
        { name, expiresAt: instant(expiry) },
        { type: 'client.updated', ...originOf(by), clientId, detail },
      );
      return view(clientId, secretId);
    },
    async revoke(clientId, secretId, how, by) {
      const subject = { ...originOf(by), clientId };
      const events: AuditEvent[] = [
        { type: 'secret.revoked', ...subject, detail: { secret_id: secretId, tokens: how.revokeTokens } },
      ];
      if (how.revokeTokens) {
        events.push({ type: 'client.revoked', ...subject, detail: { reason: 'secret_revoked' } });
      }
      await store.revoke(clientId, secretId, how, events);
    },
  };
}
