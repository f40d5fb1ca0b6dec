/** The document of an API (resource server), as the admin API takes it. */
import { z } from 'zod';
import { type Fault, faultsOf, isObject, mergePatch } from '../lib/documents.ts';
import { PortcullisError } from '../lib/errors.ts';
import { SIGNING_ALGORITHMS } from '../lib/signing-algorithms.ts';
import type { ApiDocument } from '../storage/apis.ts';
import { ADMIN_API, isReservedScope } from './apis.ts';

const TEN_YEARS = 315_360_000;

const text = (max: number) =>
  z
    .string({ error: 'must be text' })
    .min(1, { error: 'must not be empty' })
    .max(max, { error: `must have at most ${max} characters` })
    .regex(/^[^\p{Cc}\p{Cs}\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]*$/u, {
      error: 'must not hold control characters',
    });

const scopeSchema = z.strictObject({
  name: z
    .string({ error: 'must be text' })
    // RFC 6749, 3.3
    .regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, {
      error: 'must be 1 to 128 visible ASCII characters, without quote and backslash',
    })
    .refine((name) => !isReservedScope(name), {
      error: 'is a scope of OpenID Connect or of the admin API',
    }),
  description: text(500).describe('shown on the consent page'),
});

/** Every member that a caller may send. */
export const apiSchema = z.strictObject({
  identifier: z
    .string({ error: 'must be text' })
    .max(512, { error: 'must have at most 512 characters' })
    // RFC 8707, 2: an absolute URI without a fragment. Compared as an exact string.
    .refine(
      (uri) =>
        /^[a-z][a-z0-9+.-]*:[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+$/i.test(uri) &&
        URL.canParse(uri),
      { error: 'must be an absolute URI' },
    )
    .refine((uri) => !uri.includes('#'), { error: 'must not have a fragment' })
    .refine((uri) => uri !== ADMIN_API, { error: 'is the admin API' })
    .meta({ format: 'uri' }),
  name: text(200),
  scopes: z
    .array(scopeSchema)
    .max(200, { error: 'must hold at most 200' })
    .superRefine((scopes, ctx) => {
      const names = scopes.map(({ name }) => name);
      for (const [index, name] of names.entries()) {
        if (names.indexOf(name) !== index) {
          ctx.addIssue({ code: 'custom', path: [index, 'name'], message: 'is given twice' });
        }
      }
    })
    .default([]),
  access_token_format: z
    .enum(['jwt', 'opaque'], { error: 'must be jwt or opaque' })
    .default('jwt')
    .describe('opaque: the API, or its gateway, introspects'),
  access_token_ttl: z
    .int({ error: 'must be a whole number' })
    .min(1, { error: 'must be at least 1' })
    .max(TEN_YEARS, { error: `must be at most ${TEN_YEARS}` })
    .optional()
    .describe('seconds'),
  signing_alg: z
    .enum(SIGNING_ALGORITHMS, { error: `must be one of ${SIGNING_ALGORITHMS.join(', ')}` })
    .default('ES256')
    .describe('a first key of its algorithm signs once every cache knows it; until then ES256 does'),
});

type ApiInput = z.output<typeof apiSchema>;

/** Members that answers carry and callers may not send. */
const READ_ONLY = new Set(['/created_at', '/updated_at']);

/**
 * Validates the document of a new API and fills in defaults. A null member counts as left out.
 * @throws PortcullisError `invalid_api` (422) with every fault
 */
export const parseApi = (input: unknown): ApiDocument => validate(mergePatch({}, input));

/**
 * Applies a JSON merge patch (RFC 7396): `scopes` are replaced as a whole, null puts a member back to its default.
 * @throws PortcullisError `invalid_api` (422) with every fault; the identifier cannot be changed
 */
export function mergeApi(existing: ApiDocument, patch: unknown): ApiDocument {
  if (!isObject(patch)) throw refusal([{ pointer: '', detail: 'must be an object' }]);
  const before: ApiInput = {
    identifier: existing.identifier,
    name: existing.name,
    scopes: existing.scopes.map((scope) => ({ ...scope })),
    access_token_format: existing.accessTokenFormat,
    access_token_ttl: existing.accessTokenTtl,
    signing_alg: SIGNING_ALGORITHMS.find((alg) => alg === existing.signingAlg) ?? 'ES256',
  };
  const moved = patch['identifier'] !== undefined && patch['identifier'] !== existing.identifier;
  return validate(
    mergePatch(before, moved ? { ...patch, identifier: existing.identifier } : patch),
    moved ? [{ pointer: '/identifier', detail: 'cannot be changed' }] : [],
  );
}

function validate(input: unknown, known: readonly Fault[] = []): ApiDocument {
  const result = apiSchema.safeParse(input);
  const faults = [...known, ...(result.success ? [] : faultsOf(result.error).map(explain))];
  if (!result.success || faults.length > 0) throw refusal(faults);
  const { data } = result;
  return {
    identifier: data.identifier,
    name: data.name,
    scopes: data.scopes,
    accessTokenFormat: data.access_token_format,
    accessTokenTtl: data.access_token_ttl,
    signingAlg: data.signing_alg,
  };
}

/** Says of a read-only member that it is one. */
const explain = (fault: Fault): Fault =>
  READ_ONLY.has(fault.pointer) ? { ...fault, detail: 'is set by the server' } : fault;

const refusal = (errors: readonly Fault[]): PortcullisError =>
  new PortcullisError('invalid_api', 422, 'The API document is not valid.', { errors });
