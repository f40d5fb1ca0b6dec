/** Keyset paging: a page ends with a cursor, the sort key of its last row, so rows added meanwhile shift nothing. */
import { PortcullisError } from '../lib/errors.ts';

/** What a list is asked for. */
export interface PageRequest {
  readonly limit: number;
  /** `next` of the page before. */
  readonly after?: string | undefined;
}

/** One page; `next` is null on the last one. */
export interface Page<T> {
  readonly data: T[];
  readonly next: string | null;
}

type Cursor = readonly (string | number)[];

const encode = (cursor: Cursor): string => Buffer.from(JSON.stringify(cursor)).toString('base64url');

/**
 * Reads a cursor whose parts are of the types `shape`.
 * @throws PortcullisError `invalid_cursor` (422) when no page ended with it
 */
function decode(after: string, shape: readonly ('string' | 'number')[]): Cursor {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(after, 'base64url').toString('utf8'));
  } catch {
    parts = undefined;
  }
  const fits = (part: unknown, index: number): boolean =>
    typeof part === shape[index] &&
    // PostgreSQL cannot take a NUL in text, nor a fraction for a bigint.
    (typeof part === 'number' ? Number.isSafeInteger(part) : !String(part).includes('\0'));
  if (Array.isArray(parts) && parts.length === shape.length && parts.every(fits)) return parts as Cursor;
  throw new PortcullisError('invalid_cursor', 422, 'No page ended with this cursor.', {
    errors: [{ pointer: '/after', detail: 'is not the `next` of a page' }],
  });
}

/** Position in a list that is sorted by one text column; undefined at the start. */
export const afterText = ({ after }: PageRequest): string | undefined =>
  after === undefined ? undefined : (decode(after, ['string'])[0] as string);

/** Position in a list that is sorted by time and id; undefined at the start. */
export function afterTime({ after }: PageRequest): { time: number; id: string } | undefined {
  if (after === undefined) return undefined;
  const [time, id] = decode(after, ['number', 'string']) as [number, string];
  return { time, id };
}

/** What Prisma is asked for a page, oldest first, of rows with `createdAt` and `id`: one more than fits, see `toPage`. */
export function oldestFirst(page: PageRequest) {
  const after = afterTime(page);
  const where = after && {
    OR: [{ createdAt: { gt: BigInt(after.time) } }, { createdAt: BigInt(after.time), id: { gt: after.id } }],
  };
  return {
    ...(where && { where }),
    orderBy: [{ createdAt: 'asc' as const }, { id: 'asc' as const }],
    take: page.limit + 1,
  };
}

/**
 * Makes a page.
 * @param rows up to `limit` + 1 rows: one more than fits tells that there is a next page
 * @param cursor the sort key of a row
 */
export function toPage<T>(rows: T[], limit: number, cursor: (row: T) => Cursor): Page<T> {
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  return { data, next: rows.length > limit && last !== undefined ? encode(cursor(last)) : null };
}
