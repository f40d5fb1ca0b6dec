/** Signatures of Standard Webhooks (v1), and the secrets that make them. */
import { createHmac } from 'node:crypto';
import { randomId } from '../lib/ids.ts';

const PREFIX = 'whsec_';

/** A new secret: `whsec_`, then base64 of 33 random bytes. Drawn again until it holds neither `+` nor `/`. */
export function newWebhookSecret(): string {
  for (;;) {
    const secret = randomId(33); // whole groups of three bytes: base64 and base64url then differ in two letters only
    if (!/[-_]/.test(secret)) return PREFIX + secret;
  }
}

/**
 * The headers that sign a message.
 * @param timestamp epoch seconds of this attempt
 */
export function signedHeaders(
  secret: string,
  { id, timestamp, body }: { readonly id: string; readonly timestamp: number; readonly body: string },
): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const key = Buffer.from(secret.slice(PREFIX.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': `v1,${signature}`,
  };
}
