/** Looks for secrets in heaps of bytes, in every encoding that one may have been written in. */

/** What must not be found: its name for the report, and its value as the outside knows it. */
export interface Secret {
  readonly name: string;
  readonly value: string | Buffer;
}

/** A shorter needle would be found by chance. */
const LEAST = 8;

const encodings = ['base64', 'base64url', 'hex'] as const;

/**
 * base64 of bytes that begin anywhere in a longer value: what stands the same at each of the three alignments.
 */
function base64At(bytes: Buffer, offset: number): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
  const skip = offset === 0 ? 0 : offset + 1;
  return text.slice(skip, Math.floor(((offset + bytes.length) * 8) / 6));
}

/** Every form of `value` that would give it away. */
export function needlesOf(value: string | Buffer): Set<string> {
  const forms: Buffer[] = [typeof value === 'string' ? Buffer.from(value, 'utf8') : value];
  if (typeof value === 'string') {
    // What a token stands for: its bytes. A prefix such as `pcr_` is no part of them.
    const body = value.replace(/^pc[a-z]_/, '');
    for (const encoding of encodings) {
      const bytes = Buffer.from(body, encoding);
      if (bytes.length >= LEAST && bytes.toString(encoding).replace(/=+$/, '') === body) forms.push(bytes);
    }
    // A part is as good as the whole: the second half of a token has all that is secret of it.
    if (value.length >= 40) forms.push(Buffer.from(value.slice(-Math.floor(value.length / 2)), 'utf8'));
  }
  const needles = new Set<string>();
  for (const bytes of forms) {
    needles.add(bytes.toString('latin1'));
    for (const encoding of encodings) needles.add(bytes.toString(encoding).replace(/=+$/, ''));
    needles.add(bytes.toString('hex').toUpperCase());
    for (const offset of [0, 1, 2]) {
      const text = base64At(bytes, offset);
      needles.add(text).add(text.replaceAll('+', '-').replaceAll('/', '_'));
    }
  }
  return new Set([...needles].filter((needle) => needle.length >= LEAST));
}

/** Names of the secrets that are found in `heap`. */
export function foundIn(heap: Buffer, secrets: readonly Secret[]): string[] {
  const text = heap.toString('latin1');
  return secrets
    .filter(({ value }) => [...needlesOf(value)].some((needle) => text.includes(needle)))
    .map(({ name }) => name);
}
