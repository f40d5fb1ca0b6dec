/** A webhook as the admin API takes one: validated as a whole, every fault with its pointer. */
import { z } from 'zod';
import { isFetchAllowed } from '../config/fetch-allow.ts';
import { faultsOf, isObject, mergePatch, type Fault } from '../lib/documents.ts';
import { PortcullisError } from '../lib/errors.ts';
import { EVERY_TYPE } from '../storage/subscriptions.ts';
import type { WebhookDocument } from '../storage/webhooks.ts';
import { eventTypes } from '../telemetry/events.ts';
import { isPublicAddress, literalAddress } from './addresses.ts';

/** Every member that a caller may send. */
export const webhookSchema = z.strictObject({
  url: z
    .string({ error: 'must be a URL' })
    .max(2048, { error: 'must have at most 2048 characters' })
    .describe('https; over http, or on a private address, only where PORTCULLIS_FETCH_ALLOW names it'),
  events: z
    .array(z.enum([EVERY_TYPE, ...eventTypes], { error: 'is not a type of event' }), {
      error: 'must be a list of types of events',
    })
    .min(1, { error: 'must name at least one' })
    .transform((types) => [...new Set(types)])
    .default([EVERY_TYPE])
    .describe(`types of events; \`${EVERY_TYPE}\` is every type, those of later releases too`),
  enabled: z.boolean({ error: 'must be true or false' }).default(true),
});

/** Members that answers carry and callers may not send. */
const READ_ONLY = new Set(['/id', '/created_at', '/updated_at']);

function urlFault(text: string, fetchAllow: readonly string[]): string | undefined {
  const url = /[\s\p{Cc}\p{Cs}]/u.test(text) ? null : URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol)) return 'must be an absolute https URL';
  if (url.username !== '' || url.password !== '') return 'must not hold credentials';
  if (url.hash !== '') return 'must not have a fragment';
  if (isFetchAllowed(fetchAllow, url)) return undefined;
  const address = literalAddress(url);
  if (address !== undefined && !isPublicAddress(address)) return 'is on a private address';
  return url.protocol === 'https:' ? undefined : 'must be https';
}

const refusal = (errors: readonly Fault[]): PortcullisError =>
  new PortcullisError('invalid_webhook', 422, 'The webhook is not valid.', { errors });

/** Says of a read-only member that it is one. */
const explain = (fault: Fault): Fault =>
  READ_ONLY.has(fault.pointer) ? { ...fault, detail: 'is set by the server' } : fault;

function validate(input: unknown, fetchAllow: readonly string[]): WebhookDocument {
  const result = webhookSchema.safeParse(input);
  const errors = result.success ? [] : faultsOf(result.error).map(explain);
  const url = isObject(input) ? input['url'] : undefined;
  const detail = typeof url === 'string' ? urlFault(url, fetchAllow) : undefined;
  if (detail !== undefined && !errors.some(({ pointer }) => pointer === '/url')) {
    errors.push({ pointer: '/url', detail });
  }
  if (!result.success || errors.length > 0) throw refusal(errors);
  return result.data;
}

/**
 * Validates the document of a new webhook, and fills in defaults. A null member counts as left out.
 * @throws PortcullisError `invalid_webhook` (422) with every fault
 */
export const parseWebhook = (document: unknown, fetchAllow: readonly string[]): WebhookDocument =>
  validate(mergePatch({}, document), fetchAllow);

/**
 * Applies a JSON merge patch (RFC 7396).
 * @throws PortcullisError `invalid_webhook` (422) with every fault
 */
export function mergeWebhook(
  { url, events, enabled }: WebhookDocument,
  patch: unknown,
  fetchAllow: readonly string[],
): WebhookDocument {
  if (!isObject(patch)) throw refusal([{ pointer: '', detail: 'must be an object' }]);
  return validate(mergePatch({ url, events, enabled }, patch), fetchAllow);
}
