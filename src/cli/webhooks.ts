/** `portcullis webhooks`: the table of its verbs. */
import { list, toggle } from './fields.ts';
import type { Group } from './verbs.ts';

/** Endpoints that are told of events. */
export const webhooks: Group = {
  name: 'webhooks',
  summary: 'endpoints that are told of events',
  examples: [
    'webhooks create https://siem.example/hook --event token.reuse_detected',
    'webhooks test WEBHOOK_ID',
  ],
  verbs: [
    {
      name: 'list',
      summary: 'list webhooks',
      scope: 'webhooks:read',
      method: 'GET',
      path: '/webhooks',
      columns: ['id', 'url', 'events', 'enabled', 'created_at'],
    },
    {
      name: 'create',
      makes: true,
      summary: 'add a webhook; its secret is shown this once',
      scope: 'webhooks:write',
      method: 'POST',
      path: '/webhooks',
      takes: [{ member: 'url', help: 'where events go' }],
      body: [
        list('--event <type>', 'events', 'a type of event'),
        ...toggle('enabled', 'enabled', 'called on events'),
      ],
    },
    {
      name: 'messages',
      summary: 'list what was sent, what waits, and what was given up',
      scope: 'webhooks:read',
      method: 'GET',
      path: '/webhooks/{webhook}/messages',
      columns: ['id', 'type', 'status', 'attempts', 'created_at'],
    },
    {
      name: 'retry',
      summary: 'send a message again that was given up',
      scope: 'webhooks:write',
      method: 'POST',
      path: '/webhooks/{webhook}/messages/{message}/retry',
      done: 'message {message} will be sent again',
    },
    {
      name: 'test',
      summary: 'send a test event',
      scope: 'webhooks:write',
      method: 'POST',
      path: '/webhooks/{webhook}/test',
    },
    {
      name: 'delete',
      summary: 'remove a webhook',
      scope: 'webhooks:write',
      method: 'DELETE',
      path: '/webhooks/{webhook}',
      question: 'Delete the webhook {webhook}?',
      done: 'webhook {webhook} is deleted',
    },
  ],
};
