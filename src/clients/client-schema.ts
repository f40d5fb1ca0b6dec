/** A client document, member by member (RFC 7591, 2; OpenID Connect Registration 1.0, 2; and our own members). */
import { z } from 'zod';
import { TEN_YEARS } from '../config/values.ts';
import { SIGNING_ALGORITHMS } from '../lib/signing-algorithms.ts';
import { assertionAlgs, publicJwks } from './jwks.ts';
import { fetchUrlFault, httpsUrlFault, originFault, redirectUriFault, webUrlFault } from './redirect-uris.ts';

export const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';
const grantTypes = ['authorization_code', 'refresh_token', 'client_credentials', DEVICE_CODE] as const;
const authMethods = ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'] as const;
/** Signing algorithms of ID tokens: those that the server always has a key for. */
/** Algorithms of signed introspection answers: those that every server has a key for. */
export const INTROSPECTION_ALGORITHMS = ['RS256', 'ES256'] as const;

/** Nothing that hides, or turns the direction of what follows it on the consent page. */
const PLAIN_TEXT = /^[^\p{Cc}\p{Cs}\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]*$/u;

const text = (max: number) =>
  z
    .string()
    .min(1, { error: 'must not be empty' })
    .max(max, { error: `must have at most ${max} characters` })
    .regex(PLAIN_TEXT, { error: 'must not hold control characters' });

const uri = (faultOf: (uri: string) => string | undefined) =>
  z
    .string()
    .max(2048, { error: 'must have at most 2048 characters' })
    .superRefine((value, ctx) => {
      const message = faultOf(value);
      if (message) ctx.addIssue({ code: 'custom', message });
    })
    .meta({ format: 'uri' });

const list = <T extends z.ZodType>(item: T, max = 100) =>
  z
    .array(item)
    .max(max, { error: `must hold at most ${max}` })
    .superRefine((items, ctx) => {
      for (const [index, each] of items.entries()) {
        if (items.indexOf(each) !== index) {
          ctx.addIssue({ code: 'custom', path: [index], message: 'is given twice' });
        }
      }
    });

const choice = <const T extends readonly string[]>(values: T) =>
  z.enum(values, { error: `must be one of ${values.join(', ')}` });

const whole = (min: number, max: number) =>
  z
    .int({ error: 'must be a whole number' })
    .min(min, { error: `must be at least ${min}` })
    .max(max, { error: `must be at most ${max}` });

const seconds = (what: string) => whole(1, TEN_YEARS).optional().describe(`${what}, in seconds`);
const flag = (initial: boolean) => z.boolean({ error: 'must be true or false' }).default(initial);

/** Every member that a caller may send. Members that hang on others have no default here. */
export const clientSchema = z.strictObject({
  client_id: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$/, {
      error: 'must be 1 to 128 letters, digits and . _ ~ -, the first a letter or digit',
    })
    .optional()
    .describe('may be chosen when the client is created; never changes'),
  client_name: text(200).optional(),
  client_uri: uri(webUrlFault).optional(),
  logo_uri: uri(webUrlFault).optional(),
  policy_uri: uri(webUrlFault).optional(),
  tos_uri: uri(webUrlFault).optional(),
  contacts: list(z.email({ error: 'must be an e-mail address' }).max(254), 20).default([]),
  application_type: choice(['web', 'native']).default('web'),
  enabled: flag(true),
  first_party: flag(false).describe('of the same organisation: no consent is asked'),

  redirect_uris: list(uri(redirectUriFault)).default([]),
  post_logout_redirect_uris: list(uri(redirectUriFault)).default([]),
  allowed_origins: list(uri(originFault)).default([]).describe('origins that may call over CORS'),
  initiate_login_uri: uri(httpsUrlFault).optional(),

  grant_types: list(choice(grantTypes)).default(['authorization_code']),
  response_types: z.array(z.string()).max(10).optional().describe('follows from grant_types'),
  scope: z
    .string()
    .max(8000, { error: 'must have at most 8000 characters' })
    .regex(/^(?:[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*)?$/, {
      error: 'must be scope names separated by single spaces',
    })
    .optional()
    .describe('what the client may ask for'),

  token_endpoint_auth_method: choice(authMethods).optional(),
  token_endpoint_auth_signing_alg: choice(assertionAlgs).optional(),
  jwks: publicJwks.optional(),
  jwks_uri: uri(fetchUrlFault).optional(),

  subject_type: choice(['public']).default('public'),
  id_token_signed_response_alg: choice(SIGNING_ALGORITHMS).default('RS256'),
  introspection_signed_response_alg: choice(INTROSPECTION_ALGORITHMS)
    .optional()
    .describe('signs its answers of /introspect that are asked for as a JWT (RFC 9701); RS256'),
  claims_in_id_token: flag(false).describe("puts the scopes' claims into ID tokens too"),
  default_max_age: whole(0, TEN_YEARS).optional().describe('seconds since sign-in'),
  require_auth_time: flag(false),
  require_pkce: flag(true).describe('may be false for confidential clients only, which then must send state'),
  require_state: z.boolean({ error: 'must be true or false' }).optional(),
  require_pushed_authorization_requests: flag(false),
  dpop_bound_access_tokens: flag(false),
  fapi: flag(false).describe(
    'holds it to what FAPI 2.0 demands of clients: assertions for the issuer alone, pushed requests, DPoP',
  ),

  backchannel_logout_uri: uri(fetchUrlFault)
    .optional()
    .describe('gets a logout token when a session that it took part in ends'),
  backchannel_logout_session_required: flag(false).describe('kept; logout tokens always have a sid'),

  serves: list(z.string().min(1).max(2048)).default([]).describe('APIs that it may introspect for'),
  access_token_ttl: seconds('life of its access tokens'),
  refresh_token_idle_ttl: seconds('life of an unused refresh token'),
  refresh_token_max_ttl: seconds('life of a family of refresh tokens'),
  refresh_tokens_end_with_session: flag(false).describe(
    'offline_access is never granted: its refresh tokens die at the latest when the browser session ends',
  ),
  rotation_grace: whole(0, 60).optional().describe('seconds in which a spent refresh token may be retried'),
  max_families_per_user: whole(0, 1_000_000).optional().describe('0 = no cap'),
});

/** A document that is complete but for what follows from other members. */
export type ParsedClient = z.output<typeof clientSchema>;

/** Members that answers carry and callers may not send. */
export const readOnlyMembers: Readonly<Record<string, string>> = {
  created_at: 'is set by the server',
  updated_at: 'is set by the server',
  client_id_issued_at: 'is set by the server',
  client_secret: 'is made by the server: use the secrets of the client',
  client_secret_expires_at: 'is set on each secret: use the secrets of the client',
  secret: 'is made by the server: use the secrets of the client',
};
