/** Documents about a client's secrets: what the admin API takes. */
import { z } from 'zod';

const name = z
  .string({ error: 'must be text' })
  .min(1, { error: 'must not be empty' })
  .max(100, { error: 'must have at most 100 characters' })
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, { error: 'must not hold control characters' });

const instant = z.iso
  .datetime({ offset: true, error: 'must be an RFC 3339 time' })
  .describe('RFC 3339; the secret stops working then');

/** A further secret. */
export const secretSchema = z.strictObject({ name: name.optional(), expires_at: instant.optional() });

const EXPIRE_OLD = 'must be "now", "<n>m", "<n>h", "<n>d" or an RFC 3339 time';

/** A rotation. */
export const rotationSchema = z.strictObject({
  name: name.optional(),
  expire_old: z
    .union([z.literal('now'), z.string().regex(/^\d{1,5}[mhd]$/), z.iso.datetime({ offset: true })], {
      error: EXPIRE_OLD,
    })
    .default('24h')
    .describe('when all other secrets stop working'),
});

/** A change of a secret; null takes a member away. */
export const secretPatchSchema = z.strictObject({
  name: name.nullable().optional(),
  expires_at: instant.nullable().optional(),
});

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * When the old secrets of a rotation end.
 * @param expireOld as `rotationSchema` takes it; an instant that has passed means now
 * @param now epoch milliseconds
 * @returns epoch milliseconds
 */
export function expireOldAt(expireOld: string, now: number): number {
  if (expireOld === 'now') return now;
  const unit = expireOld.at(-1) as keyof typeof UNIT_MS;
  if (unit in UNIT_MS) return now + Number(expireOld.slice(0, -1)) * UNIT_MS[unit];
  return Math.max(Date.parse(expireOld), now);
}
