/** What admins do to webhooks: every change is validated as a whole, audited, and in force at once. */
import type { Clock } from '../lib/clock.ts';
import { PortcullisError } from '../lib/errors.ts';
import { subjectId } from '../lib/subject-id.ts';
import { randomId } from '../lib/ids.ts';
import { originOf, type Origin } from '../storage/origin.ts';
import type { MessageRecord, Outbox } from '../storage/outbox.ts';
import type { Page, PageRequest } from '../storage/pages.ts';
import { versionMismatch } from '../storage/versions.ts';
import type { WebhookDocument, WebhookRecord, WebhookStore } from '../storage/webhooks.ts';
import { sendMessage, type Attempt } from './deliverer.ts';
import type { OutboundFetch } from './outbound.ts';
import { newWebhookSecret } from './signature.ts';
import { mergeWebhook, parseWebhook } from './webhook-document.ts';

/** An unknown id is `not_found` (404), a faulty document `invalid_webhook` (422). */
export interface WebhookAdministration {
  get(id: string): Promise<WebhookRecord>;
  /** Oldest first. */
  list(page: PageRequest): Promise<Page<WebhookRecord>>;
  /** @returns the secret that signs, this once */
  create(
    document: unknown,
    by: Origin,
  ): Promise<{ readonly webhook: WebhookRecord; readonly secret: string }>;
  /**
   * Applies a merge patch.
   * @param version the one that the caller saw; undefined: whichever
   * @throws PortcullisError `version_mismatch` (412)
   */
  change(id: string, patch: unknown, by: Origin, version?: number): Promise<WebhookRecord>;
  /** What waits for it is dropped. Idempotent. @throws PortcullisError `version_mismatch` (412) */
  remove(id: string, by: Origin, version?: number): Promise<void>;
  /** Sends a message of the type `webhook.test` now, to a disabled one too, and tells how it went. */
  test(id: string): Promise<Attempt>;
  /** What was not delivered yet, newest first; what was given up is kept for thirty days. */
  undelivered(id: string, page: PageRequest): Promise<Page<MessageRecord>>;
  /** Tries a message again, from now on and as often as a new one. */
  retry(id: string, messageId: string): Promise<void>;
}

/** Tries of a change without a version against others that come first each time. */
const MAX_TRIES = 10;

export function createWebhookAdministration(dependencies: {
  readonly store: WebhookStore;
  readonly outbox: Outbox;
  readonly fetch: OutboundFetch;
  readonly clock: Clock;
  /** See `Settings`. */
  readonly fetchAllow: readonly string[];
}): WebhookAdministration {
  const { store, outbox, fetch, clock, fetchAllow } = dependencies;
  const missing = (what: string): PortcullisError =>
    new PortcullisError('not_found', 404, `There is no such ${what}.`);
  const get = async (id: string): Promise<WebhookRecord> => {
    const webhook = await store.find(id);
    if (!webhook) throw missing('webhook');
    return webhook;
  };
  return {
    get,
    list: (page) => store.list(page),
    async create(document, by) {
      const parsed = parseWebhook(document, fetchAllow);
      const [id, secret] = [subjectId(), newWebhookSecret()];
      const detail = { webhook_id: id };
      const event = { type: 'webhook.created', ...originOf(by), detail } as const;
      return { webhook: await store.create(id, parsed, secret, event), secret };
    },
    async change(id, patch, by, version) {
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const before = await get(id);
        if (version !== undefined && version !== before.version) throw versionMismatch();
        const after = mergeWebhook(before, patch, fetchAllow);
        const detail = { webhook_id: id, changed: changedMembers(before, after) };
        if (detail.changed.length === 0) return before;
        const event = { type: 'webhook.updated', ...originOf(by), detail } as const;
        if (await store.update(id, after, before.version, event)) return get(id);
      }
      throw versionMismatch();
    },
    async remove(id, by, version) {
      const event = { type: 'webhook.deleted', ...originOf(by), detail: { webhook_id: id } } as const;
      await store.delete(id, event, version);
    },
    async test(id) {
      const endpoint = await store.endpoint(id);
      if (!endpoint) throw missing('webhook');
      const now = clock.now();
      const body = { type: 'webhook.test', timestamp: new Date(now).toISOString(), data: { webhook_id: id } };
      return sendMessage(fetch, endpoint, { id: `msg_${randomId()}`, body: JSON.stringify(body) }, now);
    },
    async undelivered(id, page) {
      await get(id);
      return outbox.list(id, page);
    },
    async retry(id, messageId) {
      await get(id);
      if (!(await outbox.retry(id, messageId))) throw missing('message');
    },
  };
}

const MEMBERS = ['enabled', 'events', 'url'] as const satisfies (keyof WebhookDocument)[];

const changedMembers = (before: WebhookDocument, after: WebhookDocument): string[] =>
  MEMBERS.filter((member) => JSON.stringify(before[member]) !== JSON.stringify(after[member]));
