/**
 * The catalogue of business events: what each carries, and the log line and metric it becomes.
 * `storage` writes an event's row in the transaction of the change; `report` follows the commit.
 */
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** Free members beside the ones that a type fixes; snake_case, never a token, secret, password or query. */
export interface Detail {
  readonly [member: string]: Json;
}

type With<T> = Detail & Readonly<T>;

interface Catalogue {
  'client.created': Detail;
  /** `changed`: names of the members. */
  'client.updated': With<{ changed: readonly string[] }>;
  'client.enabled': Detail;
  'client.disabled': Detail;
  'client.deleted': Detail;
  /** Every grant of the client was ended. */
  'client.revoked': Detail;
  'secret.created': With<{ secret_id: string }>;
  'secret.rotated': With<{ secret_id: string }>;
  'secret.revoked': With<{ secret_id: string }>;
  'user.created': Detail;
  'user.updated': With<{ changed: readonly string[] }>;
  'user.enabled': Detail;
  'user.disabled': Detail;
  'user.deleted': Detail;
  'user.password_changed': With<{ by: 'user' | 'admin' }>;
  /** They asked for another address: `user.updated` follows once it is proved. */
  'user.email_change_requested': Detail;
  /** Every session and grant of the user was ended. */
  'user.revoked': Detail;
  'user.second_factor_added': With<{ kind: 'totp' | 'passkey' }>;
  'user.second_factor_removed': With<{ kind: 'totp' | 'passkey' | 'all' }>;
  'user.recovery_codes_renewed': Detail;
  /** `left`: codes that still work. */
  'user.recovery_code_used': With<{ left: number }>;
  'login.succeeded': With<{ amr: readonly string[] }>;
  /** Never the name that was typed: people type passwords there. */
  'login.failed': With<{ reason: string }>;
  'login.throttled': Detail;
  'logout.completed': Detail;
  'session.revoked': Detail;
  'consent.granted': With<{ scopes: readonly string[] }>;
  'consent.denied': Detail;
  'grant.created': Detail;
  /** `reason`: the family's dead reason; `count`: families that ended with it, 1 when left out. */
  'grant.revoked': With<{ reason: string }>;
  /** By the client's own request or an admin's; with a refresh token its family has ended. */
  'token.revoked': With<{ kind: 'access_token' | 'refresh_token' }>;
  /** The family has ended; no `grant.revoked` goes with it. */
  'token.reuse_detected': With<{ ms_since_rotation: number | null }>;
  /** The family has ended; no `grant.revoked` goes with it. */
  'code.reuse_detected': Detail;
  'key.created': With<{ kid: string; alg: string }>;
  'key.activated': With<{ kid: string; alg: string }>;
  'key.retired': With<{ kid: string; alg: string }>;
  'api.created': With<{ identifier: string }>;
  'api.updated': With<{ identifier: string }>;
  'api.deleted': With<{ identifier: string }>;
  'webhook.created': With<{ webhook_id: string }>;
  'webhook.updated': With<{ webhook_id: string; changed: readonly string[] }>;
  'webhook.deleted': With<{ webhook_id: string }>;
  /** Every session, grant, code and access token has ended; no `grant.revoked` goes with it. */
  'server.invalidated': With<{ reason: string; families: number; sessions: number }>;
  'admin.denied': With<{ reason: string }>;
}

/** `client.created` and so on. */
export type EventType = keyof Catalogue;

/** Who and what an event is about. */
export interface EventSubject {
  /** Who did it: `client:ID`, `user:ID` or `system`. */
  readonly actor?: string | undefined;
  readonly clientId?: string | undefined;
  readonly userId?: string | undefined;
  readonly grantId?: string | undefined;
  readonly ip?: string | undefined;
  readonly requestId?: string | undefined;
}

/** One business event, discriminated by `type`. */
export type AuditEvent = {
  [T in EventType]: EventSubject & { readonly type: T; readonly detail: Catalogue[T] };
}[EventType];

/** The event of one type. */
export type EventOf<T extends EventType> = Extract<AuditEvent, { type: T }>;

interface Meaning<T extends EventType> {
  readonly level: 'info' | 'warn';
  readonly count?: (metrics: Metrics, event: EventOf<T>) => void;
}

const info = { level: 'info' } as const;

const meanings: { readonly [T in EventType]: Meaning<T> } = {
  'client.created': info,
  'client.updated': info,
  'client.enabled': info,
  'client.disabled': info,
  'client.deleted': info,
  'client.revoked': info,
  'secret.created': info,
  'secret.rotated': info,
  'secret.revoked': info,
  'user.created': info,
  'user.updated': info,
  'user.enabled': info,
  'user.disabled': info,
  'user.deleted': info,
  'user.password_changed': info,
  'user.email_change_requested': info,
  'user.revoked': info,
  'user.second_factor_added': info,
  'user.second_factor_removed': info,
  'user.recovery_codes_renewed': info,
  'user.recovery_code_used': info,
  'login.succeeded': { level: 'info', count: (metrics) => metrics.login('succeeded') },
  'login.failed': { level: 'info', count: (metrics) => metrics.login('failed') },
  'login.throttled': { level: 'warn', count: (metrics) => metrics.login('throttled') },
  'logout.completed': info,
  'session.revoked': info,
  'consent.granted': info,
  'consent.denied': info,
  'grant.created': info,
  'grant.revoked': {
    level: 'info',
    count: (metrics, { detail }) =>
      metrics.grantsRevoked(detail.reason, typeof detail['count'] === 'number' ? detail['count'] : 1),
  },
  'token.revoked': {
    level: 'info',
    count: (metrics, { detail }) => {
      metrics.revocation(detail.kind);
      if (detail.kind === 'refresh_token') metrics.grantsRevoked('token_revoked');
    },
  },
  'token.reuse_detected': {
    level: 'warn',
    count: (metrics) => {
      metrics.refreshReuse('revoked');
      metrics.grantsRevoked('token_reuse');
    },
  },
  'code.reuse_detected': { level: 'warn', count: (metrics) => metrics.grantsRevoked('code_reuse') },
  'key.created': info,
  'key.activated': info,
  'key.retired': info,
  'api.created': info,
  'api.updated': info,
  'api.deleted': info,
  'webhook.created': info,
  'webhook.updated': info,
  'webhook.deleted': info,
  'server.invalidated': { level: 'warn' },
  'admin.denied': { level: 'warn' },
};

/** Every type of event. */
export const eventTypes = Object.keys(meanings) as readonly EventType[];

/** Writes the log line and counts the metric of an event. To be called after the commit of its row. */
export function report(event: AuditEvent, to: { readonly logger: Logger; readonly metrics: Metrics }): void {
  const { level, count } = meanings[event.type] as Meaning<EventType>;
  const [thing, verb = ''] = event.type.split('.');
  to.logger[level](
    {
      event: event.type,
      actor: event.actor,
      request_id: event.requestId,
      client_id: event.clientId,
      user_id: event.userId,
      grant_id: event.grantId,
      ip: event.ip,
      detail: Object.keys(event.detail).length > 0 ? event.detail : undefined,
    },
    `${thing} ${verb.replace('_', ' ')}`,
  );
  count?.(to.metrics, event);
}
