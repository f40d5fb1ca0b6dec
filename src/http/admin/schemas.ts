/** Pieces of the schemas of many routes, and the names by which the OpenAPI document knows a schema. */
import { z } from 'zod';
import { PortcullisError } from '../../lib/errors.ts';
import { afterText, toPage, type Page, type PageRequest } from '../../storage/pages.ts';

/** Schemas of what callers send, and of what they get, by name. */
export const inputs = z.registry<{ id: string }>();
export const answers = z.registry<{ id: string }>();

/** Names the schema of a body. */
export function input<T extends z.ZodType>(id: string, schema: T): T {
  inputs.add(schema, { id });
  return schema;
}

/** Names the schema of an answer. */
export function answer<T extends z.ZodType>(id: string, schema: T): T {
  answers.add(schema, { id });
  return schema;
}

/** A merge patch of a document (RFC 7396): every member may be left out, or null. */
export const patchOf = ({ shape }: z.ZodObject): z.ZodObject =>
  z.strictObject(
    Object.fromEntries(
      Object.entries(shape).map(([name, member]) => [name, z.nullable(bare(member as z.ZodType)).optional()]),
    ),
  );

/** A member without its default, which a patch does not fill in. */
const bare = (member: z.ZodType): z.ZodType =>
  member instanceof z.ZodDefault || member instanceof z.ZodOptional
    ? bare(member.unwrap() as z.ZodType)
    : member;

/** An instant in an answer. */
export const time = z.iso.datetime();

/** RFC 3339 of epoch milliseconds. */
export const toTime = (ms: number): string => new Date(ms).toISOString();
export const toTimeOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : toTime(ms));

const number = (value: unknown): unknown =>
  typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;

/** Query of every list. */
export const listQuery = z.strictObject({
  limit: z
    .preprocess(
      number,
      z
        .int({ error: 'must be a whole number' })
        .min(1, { error: 'must be at least 1' })
        .max(200, { error: 'must be at most 200' }),
    )
    .default(50),
  after: z
    .string({ error: 'must be given once' })
    .max(1000, { error: 'is not the `next` of a page' })
    .optional()
    .describe('`next` of the page before'),
});

/** The id of something in a query. */
export const idFilter = z
  .string({ error: 'must be given once' })
  .max(512, { error: 'must have at most 512 characters' })
  .regex(/^[^\0]*$/, { error: 'must not hold a NUL character' }) // PostgreSQL cannot take one
  .optional();

/** A switch in a query: `true` or `false`. */
export const flag = z
  .preprocess(
    (value) => (value === 'true' ? true : value === 'false' ? false : value),
    z.boolean({ error: 'must be true or false' }),
  )
  .default(false);

/** Names the page of a list. */
export const pageAnswer = <T extends z.ZodType>(id: string, item: T) =>
  answer(
    id,
    z.strictObject({
      data: z.array(item),
      next: z.string().nullable().describe('to be sent as `after`; null on the last page'),
    }),
  );

/** A page with its items as the API shows them. */
export const shown = <T, S>(
  { data, next }: Page<T>,
  show: (item: T) => S,
): { data: S[]; next: string | null } => ({
  data: data.map(show),
  next,
});

/**
 * A page of a list that is short and read as a whole.
 * @throws PortcullisError `invalid_cursor` (422)
 */
export function pageOf<T>(items: readonly T[], page: PageRequest, id: (item: T) => string): Page<T> {
  const after = afterText(page);
  const at = after === undefined ? -1 : items.findIndex((item) => id(item) === after);
  if (after !== undefined && at === -1) {
    throw new PortcullisError('invalid_cursor', 422, 'The item that this page begins after is gone.', {
      errors: [{ pointer: '/after', detail: 'names an item that is gone' }],
    });
  }
  return toPage(items.slice(at + 1, at + 2 + page.limit), page.limit, (item) => [id(item)]);
}

/** What every refusal answers (RFC 9457). */
export const problem = answer(
  'Problem',
  z.strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().describe('stable, for programs'),
    request_id: z.string(),
    errors: z
      .array(
        z.strictObject({
          pointer: z
            .string()
            .describe('JSON pointer (RFC 6901) into the body, or into the query as an object'),
          detail: z.string(),
        }),
      )
      .optional(),
  }),
);
