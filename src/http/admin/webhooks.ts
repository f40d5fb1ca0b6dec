/** Routes below `/webhooks`. */
import { z } from 'zod';
import { webhookSchema } from '../../delivery/webhook-document.ts';
import type { WebhookAdministration } from '../../delivery/webhooks.ts';
import type { MessageRecord } from '../../storage/outbox.ts';
import type { WebhookRecord } from '../../storage/webhooks.ts';
import { meantVersion, versionToDelete } from './conditional.ts';
import { route, type Route } from './route.ts';
import {
  answer,
  input,
  listQuery,
  pageAnswer,
  patchOf,
  shown,
  time,
  toTime,
  toTimeOrNull,
} from './schemas.ts';

const webhookShape = {
  id: z.string(),
  url: z.string(),
  events: z.array(z.string()),
  enabled: z.boolean(),
  created_at: time,
  updated_at: time,
};

const webhookAnswer = answer('Webhook', z.strictObject(webhookShape));
const webhookPage = pageAnswer('WebhookPage', webhookAnswer);
const createdAnswer = answer(
  'CreatedWebhook',
  z.strictObject({
    ...webhookShape,
    secret: z.string().describe('signs what is sent (Standard Webhooks); shown this once'),
  }),
);

const attemptAnswer = answer(
  'DeliveryAttempt',
  z.strictObject({
    delivered: z.boolean().describe('the endpoint answered 2xx'),
    status: z.int().nullable().describe('null: there was no answer'),
    error: z.string().nullable(),
  }),
);

const messageAnswer = answer(
  'UndeliveredMessage',
  z.strictObject({
    id: z.string().describe('the `webhook-id` that it is sent with'),
    type: z.string(),
    status: z.enum(['pending', 'failed']).describe('failed: it was given up'),
    attempts: z.int(),
    next_attempt_at: time.nullable(),
    error: z.string().nullable().describe('why the last attempt failed'),
    created_at: time,
  }),
);
const messagePage = pageAnswer('UndeliveredMessagePage', messageAnswer);

const newWebhook = input('NewWebhook', webhookSchema);
const webhookPatch = input('WebhookPatch', patchOf(webhookSchema));

const showWebhook = ({ id, url, events, enabled, createdAt, updatedAt }: WebhookRecord) => ({
  id,
  url,
  events: [...events],
  enabled,
  created_at: toTime(createdAt),
  updated_at: toTime(updatedAt),
});

const showMessage = ({ id, type, attempts, dueAt, error, createdAt }: MessageRecord) => ({
  id,
  type,
  status: dueAt === undefined ? ('failed' as const) : ('pending' as const),
  attempts,
  next_attempt_at: toTimeOrNull(dueAt),
  error: error ?? null,
  created_at: toTime(createdAt),
});

export function webhookRoutes(webhooks: WebhookAdministration): Route[] {
  const read = { scope: 'webhooks:read', status: 200 } as const;
  const write = { scope: 'webhooks:write', status: 200 } as const;
  const tagged = (webhook: unknown): unknown => webhook;
  return [
    route({
      ...read,
      method: 'GET',
      path: '/webhooks',
      summary: 'List webhooks, oldest first',
      query: listQuery,
      answer: webhookPage,
      handle: async ({ query }) => shown(await webhooks.list(query), showWebhook),
    }),
    route({
      ...write,
      method: 'POST',
      path: '/webhooks',
      summary: 'Create a webhook; the secret that signs what it gets is shown this once',
      body: { schema: newWebhook },
      status: 201,
      answer: createdAnswer,
      tagged: ({ secret: _secret, ...webhook }) => webhook,
      location: ({ id }) => `/webhooks/${encodeURIComponent(id)}`,
      async handle({ body, by }) {
        const { webhook, secret } = await webhooks.create(body, by);
        return { ...showWebhook(webhook), secret };
      },
    }),
    route({
      ...read,
      method: 'GET',
      path: '/webhooks/{webhook_id}',
      summary: 'Get a webhook',
      answer: webhookAnswer,
      tagged,
      handle: async ({ params }) => showWebhook(await webhooks.get(params.webhook_id)),
    }),
    route({
      ...write,
      method: 'PATCH',
      path: '/webhooks/{webhook_id}',
      summary:
        'Change a webhook by merge patch; disabled, it gets no new events, and what waits goes on waiting',
      body: { schema: webhookPatch },
      answer: webhookAnswer,
      tagged,
      conditional: true,
      async handle({ params: { webhook_id: id }, body, by, ifMatch }) {
        const version = await meantVersion(ifMatch, () => webhooks.get(id), showWebhook);
        return showWebhook(await webhooks.change(id, body, by, version));
      },
    }),
    route({
      ...write,
      method: 'DELETE',
      path: '/webhooks/{webhook_id}',
      summary: 'Delete a webhook, and what waits for it',
      status: 204,
      conditional: true,
      async handle({ params: { webhook_id: id }, by, ifMatch }) {
        const version = await versionToDelete(ifMatch, () => webhooks.get(id), showWebhook);
        await webhooks.remove(id, by, version);
      },
    }),
    route({
      ...write,
      method: 'POST',
      path: '/webhooks/{webhook_id}/test',
      summary: 'Send a signed message of the type `webhook.test` now, and tell how it went',
      answer: attemptAnswer,
      async handle({ params }) {
        const { delivered, status = null, error = null } = await webhooks.test(params.webhook_id);
        return { delivered, status, error };
      },
    }),
    route({
      ...read,
      method: 'GET',
      path: '/webhooks/{webhook_id}/messages',
      summary: 'List what was not delivered yet or was given up, newest first',
      query: listQuery,
      answer: messagePage,
      handle: async ({ params, query }) =>
        shown(await webhooks.undelivered(params.webhook_id, query), showMessage),
    }),
    route({
      ...write,
      method: 'POST',
      path: '/webhooks/{webhook_id}/messages/{message_id}/retry',
      summary: 'Try a message again, given up or not',
      status: 204,
      handle: ({ params }) => webhooks.retry(params.webhook_id, params.message_id),
    }),
  ];
}
