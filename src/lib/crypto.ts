/** Sealing, keyed hashes and key derivation: the only primitives that the rest builds on. */
import { createCipheriv, createDecipheriv, createHash, hash, hkdfSync, timingSafeEqual } from 'node:crypto';
import { freshBytes } from './ids.ts';

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** A symmetric key with the id that sealed values name it by. */
export interface NamedKey {
  /** At most 255 ASCII characters. */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** Thrown when sealed bytes do not open: another key, another context, or tampered with. */
export class SealError extends Error {
  override readonly name = 'SealError';
}

/**
 * Seals `plaintext` with AES-256-GCM.
 * Layout: length of key id (1 byte), key id, nonce (12), ciphertext, tag (16).
 * @param context associated data: what the value is and where it belongs; opening needs the same
 */
export function seal(key: NamedKey, plaintext: Buffer | string, context: string): Buffer {
  const id = Buffer.from(key.id, 'ascii');
  const iv = freshBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key.key, iv);
  cipher.setAAD(Buffer.from(context, 'utf8'));
  const text = typeof plaintext === 'string' ? Buffer.from(plaintext, 'utf8') : plaintext;
  return Buffer.concat([
    Buffer.of(id.length),
    id,
    iv,
    cipher.update(text),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
}

/** The id of the key that `sealed` was sealed under. */
export function sealedUnder(sealed: Uint8Array): string {
  const length = sealed[0] ?? 0;
  return Buffer.from(sealed.subarray(1, 1 + length)).toString('ascii');
}

/**
 * Opens what `seal` made.
 * @param keyFor finds a key by its id
 * @throws SealError when the key is unknown or the bytes do not verify
 */
export function open(
  keyFor: (id: string) => Buffer | undefined,
  sealed: Uint8Array,
  context: string,
): Buffer {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  const id = sealedUnder(bytes);
  const start = 1 + id.length;
  const key = keyFor(id);
  if (!key) throw new SealError(`no key with id ${JSON.stringify(id)}`);
  if (bytes.length < start + IV_BYTES + TAG_BYTES) throw new SealError('sealed value is too short');
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(start, start + IV_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(context, 'utf8'));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(start + IV_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    throw new SealError('sealed value does not verify');
  }
}

/** Bytes of a block and of a digest of SHA-256. */
const [BLOCK, DIGEST] = [64, 32];
/** A key of 32 bytes, prepared for both passes of HMAC (RFC 2104, 2). */
const pads = new WeakMap<Buffer, { readonly inner: Buffer; readonly outer: Buffer }>();

function padsOf(key: Buffer): { readonly inner: Buffer; readonly outer: Buffer } {
  const known = pads.get(key);
  if (known) return known;
  if (key.length > BLOCK) throw new RangeError('a key of keyed hashes has at most 64 bytes');
  const padded = (pad: number): Buffer =>
    Buffer.alloc(BLOCK, 0)
      .fill(key, 0, key.length)
      .map((byte) => byte ^ pad) as Buffer;
  const made = { inner: padded(0x36), outer: padded(0x5c) };
  pads.set(key, made);
  return made;
}

/**
 * HMAC-SHA-256 of `label` and `value`, separated by a zero byte that no label contains. Two one-shot digests: they
 * cost a third of an HMAC object, and every request that proves something needs one.
 */
export function keyedHash(key: Buffer, label: string, value: string | Uint8Array): Buffer {
  const { inner, outer } = padsOf(key);
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  const first = hash('sha256', Buffer.concat([inner, Buffer.from(`${label}\0`, 'utf8'), bytes]), 'buffer');
  return hash('sha256', Buffer.concat([outer, first], BLOCK + DIGEST), 'buffer');
}

/** 32 bytes derived from `key` for one purpose (RFC 5869). */
export const derive = (key: Buffer | string, label: string, salt: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.from(hkdfSync('sha256', key, salt, label, 32));

/** A short public name for a key: it tells keys apart and reveals nothing. */
export const fingerprint = (key: Buffer): string =>
  createHash('sha256').update('portcullis key fingerprint\0').update(key).digest('base64url').slice(0, 12);

/** Compares in constant time; different lengths are simply different. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && timingSafeEqual(a, b);
