/** Codes of authenticator apps (RFC 6238: HMAC-SHA-1, six digits, thirty seconds). Called by `second-factors.ts` only. */
import { createHmac, randomBytes } from 'node:crypto';
import { equalBytes } from '../lib/crypto.ts';

/** Seconds that a code is shown for. */
const PERIOD = 30;
const DIGITS = 6;
/** RFC 4226, 4: 160 bits are recommended, and what every app takes. */
const SECRET_BYTES = 20;
/** Steps that an app's clock, or the person who types, may be off (RFC 6238, 5.2). */
const DRIFT = 1;

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

export const newTotpSecret = (): Buffer => randomBytes(SECRET_BYTES);

/** RFC 4648, 6, without padding: how secrets are typed into apps. */
export function base32(bytes: Uint8Array): string {
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  return (bits.match(/.{1,5}/g) ?? [])
    .map((five) => BASE32[Number.parseInt(five.padEnd(5, '0'), 2)])
    .join('');
}

/** The time step of an instant in epoch milliseconds. */
export const stepOf = (now: number): number => Math.floor(now / 1000 / PERIOD);

/** The code of a time step (RFC 4226, 5.3). */
export function totpCode(secret: Uint8Array, step: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const digest = createHmac('sha1', secret).update(counter).digest();
  const offset = (digest.at(-1) ?? 0) & 0x0f;
  const number = digest.readUInt32BE(offset) & 0x7fff_ffff;
  return String(number % 10 ** DIGITS).padStart(DIGITS, '0');
}

/**
 * The time step whose code this is; undefined when it is none of those around `now`. A step is good once: its caller
 * sees to that.
 * @param now epoch milliseconds
 */
export function matchingStep(secret: Uint8Array, code: string, now: number): number | undefined {
  let found: number | undefined;
  for (let step = stepOf(now) - DRIFT; step <= stepOf(now) + DRIFT; step++) {
    if (step >= 0 && equalBytes(Buffer.from(totpCode(secret, step)), Buffer.from(code))) found = step;
  }
  return found;
}

/** What an app reads from the QR code (the de facto key URI format). */
export function totpUri(
  secret: Uint8Array,
  { issuer, username }: { issuer: string; username: string },
): string {
  const label = [issuer, username].map(encodeURIComponent).join(':');
  const parameters = new URLSearchParams({
    secret: base32(secret),
    issuer,
    algorithm: 'SHA1',
    digits: String(DIGITS),
    period: String(PERIOD),
  });
  // Trap: apps show a `+` as it is.
  return `otpauth://totp/${label}?${parameters.toString().replaceAll('+', '%20')}`;
}
