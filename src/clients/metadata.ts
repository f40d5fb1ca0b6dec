/** Client metadata: a document as the admin API (and, later, registration) takes it, validated as a whole. */
import { PortcullisError } from '../lib/errors.ts';
import { type Fault, faultsOf, isObject, mergePatch } from '../lib/documents.ts';
import { OIDC_SCOPES } from './apis.ts';
import { permissions, responseTypesOf, rules } from './client-rules.ts';
import { clientSchema, DEVICE_CODE, type ParsedClient, readOnlyMembers } from './client-schema.ts';

/** A whole, valid document. Members without a value leave the server's setting in force. */
export interface ClientMetadata extends ParsedClient {
  token_endpoint_auth_method: NonNullable<ParsedClient['token_endpoint_auth_method']>;
  response_types: string[];
  scope: string;
  require_state: boolean;
}

/** What a document is judged against. */
export interface ClientContext {
  /** Whether an API owns this scope (OpenID Connect's and the admin API's need not be known here). */
  isScope(name: string): boolean;
  /** Whether an API of this identifier is there; the default API counts. */
  isApi(identifier: string): boolean;
  /** Whether the caller holds this admin scope. */
  mayGrantScope(name: string): boolean;
  readonly mayBeFirstParty: boolean;
  /** Whether an http URL lies in `PORTCULLIS_FETCH_ALLOW`. */
  mayFetchOverHttp(url: URL): boolean;
}

/**
 * Validates the document of a new client and fills in defaults. A null member counts as left out.
 * @throws PortcullisError `invalid_client_metadata` (422) with every fault; `insufficient_scope` (403) when
 *   nothing is wrong but what the caller may not give
 */
export const parseClient = (input: unknown, context: ClientContext): ClientMetadata =>
  validate(mergePatch({}, input), context);

/**
 * Applies a JSON merge patch (RFC 7396) to a valid document: null puts a member back to its default.
 * @throws as `parseClient`; `client_id` cannot be changed
 */
export function mergeClient(
  existing: ClientMetadata,
  patch: unknown,
  context: ClientContext,
): ClientMetadata {
  // What follows from other members is derived anew, unless the patch names it.
  const { response_types: _types, require_state: state, ...kept } = existing;
  const base = state && existing.require_pkce ? { ...kept, require_state: true } : kept;
  const id = isObject(patch) ? patch['client_id'] : undefined;
  const changed = id !== undefined && id !== existing.client_id;
  return validate(
    mergePatch(base, isObject(patch) ? { ...patch, client_id: existing.client_id } : patch),
    context,
    existing,
    changed ? [{ pointer: '/client_id', detail: 'cannot be changed' }] : [],
  );
}

function validate(
  input: unknown,
  context: ClientContext,
  before?: ClientMetadata,
  known: readonly Fault[] = [],
): ClientMetadata {
  if (!isObject(input)) throw refusal([{ pointer: '', detail: 'must be an object' }]);
  const first = clientSchema.safeParse(input);
  const faults = [...known, ...(first.success ? [] : faultsOf(first.error).map(explain))];
  const faulty = new Set(faults.map(({ pointer }) => pointer.split('/')[1]));
  // The rest of a faulty document is judged too, so that all faults come at once.
  const rest = first.success ? first : clientSchema.safeParse(without(input, faulty));
  const denied: Fault[] = [];
  let client: ClientMetadata | undefined;
  if (rest.success) {
    client = derive(rest.data);
    for (const [list, into] of [[rules, faults] as const, [permissions, denied] as const]) {
      for (const rule of list) {
        if (!rule.reads.some((member) => faulty.has(member)))
          into.push(...rule.check(client, context, before));
      }
    }
  }
  if (faults.length > 0) throw refusal([...faults, ...denied]);
  if (denied.length > 0) {
    throw new PortcullisError('insufficient_scope', 403, 'The caller may not give a client this.', {
      errors: denied,
    });
  }
  if (!client) throw new Error('a document without faults did not parse');
  return client;
}

/** What a document leaves out and other members decide. */
function derive(parsed: ParsedClient): ClientMetadata {
  const native = parsed.application_type === 'native';
  return {
    ...parsed,
    // A native client keeps no secret (RFC 8252, 8.5); for others RFC 7591's default.
    token_endpoint_auth_method:
      parsed.token_endpoint_auth_method ?? (native ? 'none' : 'client_secret_basic'),
    response_types: parsed.response_types ?? responseTypesOf(parsed),
    scope: parsed.scope ?? defaultScope(parsed),
    require_state: parsed.require_state ?? !parsed.require_pkce,
  };
}

/** Every scope of OpenID Connect that the grants have a use for; scopes of APIs are given by name. */
function defaultScope({ grant_types: types }: ParsedClient): string {
  if (!types.includes('authorization_code') && !types.includes(DEVICE_CODE)) return '';
  const names = OIDC_SCOPES.filter((name) => name !== 'offline_access' || types.includes('refresh_token'));
  return names.join(' ');
}

const without = (input: object, members: ReadonlySet<string | undefined>): unknown =>
  Object.fromEntries(Object.entries(input).filter(([name]) => !members.has(name)));

/** Says of a read-only member that it is one. */
const explain = (fault: Fault): Fault => {
  const name = fault.pointer.slice(1);
  const detail = Object.hasOwn(readOnlyMembers, name) ? readOnlyMembers[name] : undefined;
  return detail === undefined ? fault : { pointer: fault.pointer, detail };
};

const refusal = (errors: readonly Fault[]): PortcullisError =>
  new PortcullisError('invalid_client_metadata', 422, 'The client document is not valid.', { errors });
