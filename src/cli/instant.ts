/** Instants as people write them. */
import { InvalidArgumentError } from 'commander';
import type { Clock } from '../lib/clock.ts';

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * An instant in RFC 3339.
 * @param text how long ago (`90s`, `30m`, `24h`, `7d`), or an instant
 * @throws InvalidArgumentError for anything else
 */
export function instant(clock: Clock, text: string): string {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const ago = Number(count) * (UNITS[unit ?? ''] ?? Number.NaN);
  const time = count === undefined && /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : clock.now() - ago;
  if (!Number.isFinite(time)) {
    throw new InvalidArgumentError('It must be how long ago (30m, 24h, 7d) or an RFC 3339 instant.');
  }
  return new Date(time).toISOString();
}
