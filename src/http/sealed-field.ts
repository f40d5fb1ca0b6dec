/** Hidden fields that carry what one page has proved, or was given, to the next: sealed, so that nothing is kept. */
import type { Clock } from '../lib/clock.ts';
import { SealError } from '../lib/crypto.ts';
import type { DataKeys } from '../storage/data-keys.ts';

export interface SealedFields {
  readonly dataKeys: Pick<DataKeys, 'seal' | 'open'>;
  readonly clock: Clock;
}

/** One field: what it is, for which browser and act, and for how many milliseconds. */
export interface FieldOf {
  readonly name: string;
  /** What the CSRF field of the page is made for. */
  readonly subject: string;
}

const context = ({ name, subject }: FieldOf): string => `field:${name}:${subject}`;

/** @param life milliseconds that it is good for */
export function sealField(
  { dataKeys, clock }: SealedFields,
  of: FieldOf,
  value: object,
  life: number,
): string {
  const sealed = JSON.stringify({ value, until: clock.now() + life });
  return dataKeys.seal(sealed, context(of)).toString('base64url');
}

/** What `sealField` was given; undefined when it was made for something else, is too old, or is no such thing. */
export async function openField<T>(
  { dataKeys, clock }: SealedFields,
  of: FieldOf,
  field: string | undefined,
): Promise<T | undefined> {
  try {
    const opened = await dataKeys.open(Buffer.from(field ?? '', 'base64url'), context(of));
    const { value, until } = JSON.parse(opened.toString('utf8')) as { value: T; until: number };
    return until < clock.now() ? undefined : value;
  } catch (error) {
    if (error instanceof SealError) return undefined;
    throw error;
  }
}
