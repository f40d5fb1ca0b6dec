/** Delivery: what leaves for addresses that others chose. The app makes it. */
import type { Settings } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import type { Outbox } from '../storage/outbox.ts';
import type { Subscriptions } from '../storage/subscriptions.ts';
import type { WebhookStore } from '../storage/webhooks.ts';
import type { Logger } from '../telemetry/logger.ts';
import { createDeliverer } from './deliverer.ts';
import type { Deliverer } from './lanes.ts';
import { createOutbound, type OutboundFetch } from './outbound.ts';
import { createWebhookAdministration, type WebhookAdministration } from './webhooks.ts';

export interface Delivery {
  /** For every URL that a client or an admin chose. */
  readonly fetch: OutboundFetch;
  readonly webhooks: WebhookAdministration;
  /** For the node that does the background work. */
  readonly deliverer: Deliverer;
}

export function createDelivery(dependencies: {
  readonly settings: Pick<Settings, 'fetchAllow'>;
  readonly storage: {
    readonly webhooks: WebhookStore;
    readonly outbox: Outbox;
    readonly subscriptions: Pick<Subscriptions, 'any'>;
  };
  readonly clock: Clock;
  readonly logger: Logger;
}): Delivery {
  const { settings, storage, clock, logger } = dependencies;
  const { fetchAllow } = settings;
  const { webhooks, outbox, subscriptions } = storage;
  const fetch = createOutbound({ fetchAllow });
  return {
    fetch,
    webhooks: createWebhookAdministration({ store: webhooks, outbox, fetch, clock, fetchAllow }),
    deliverer: createDeliverer({ outbox, webhooks, subscriptions, fetch, clock, logger }),
  };
}
