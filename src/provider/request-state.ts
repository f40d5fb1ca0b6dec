/** What one request through the engine has read, and (POST /token) what it will write when it commits. */
import { Provider, type KoaContextWithOIDC } from 'oidc-provider';
import type { Client as ClientRecord } from '../clients/registry.ts';
import type { Family, OpaqueToken, TokenStep } from '../storage/families.ts';
import type { VerifiedToken } from './jwt-access-tokens.ts';

/** Where a request comes from, for audit rows. */
export interface Origin {
  readonly ip?: string;
  readonly requestId?: string;
}

/** The issuing writes of one POST /token, collected while the engine builds its answer. */
export interface TokenUnit {
  /** A code (authorization or device) that this request consumes. */
  code?: { readonly kind: string; readonly id: string };
  /** The refresh token that this request consumes. */
  consumed?: string;
  /** The refresh token that it issues. */
  issued?: {
    readonly id: string;
    readonly familyId: string;
    readonly step: TokenStep;
    /** Absolute end of a family that begins with it, epoch milliseconds; a rotation leaves that as it is. */
    readonly endsAt: number;
    /** Seconds, for the answer. */
    readonly expiresIn: number;
  };
  opaque?: OpaqueToken;
}

export interface RequestState {
  readonly origin: Origin;
  readonly families: Map<string, Promise<Family | undefined>>;
  readonly clients: Map<string, ClientRecord>;
  unit?: TokenUnit;
  /** The value presented as `token` at /introspect or /revoke when it may be a JWT. */
  presented?: string;
  verified?: VerifiedToken | null;
  /** Absolute end of the family whose refresh token was presented, epoch milliseconds. */
  endsAt?: number;
  /** uid of the session that the request came with. */
  sessionUid?: string;
  /** Who is signed in there; the generation is the user's when that session was read. */
  signedIn?: { readonly userId: string; readonly generation: string | undefined };
  /** Ids of the clients that are told of the logout that this request was. */
  told?: readonly string[];
  /** Generations of the APIs that tokens of this request are for, by identifier. */
  readonly apiGenerations: Map<string, number>;
  /** Generation of the consent that the grant under way was built from. */
  consentGeneration?: string;
  /** What made the engine answer 500. */
  serverError?: unknown;
}

/** Member of a family's grant: the generations of its APIs, by identifier. */
export const API_GENERATIONS = 'api_generations';

const key = Symbol('portcullis request state');

interface Holder {
  state: Record<symbol, unknown>;
  ip?: string;
}

/** The state of the request in `ctx`, made on first use. */
export function stateOf(ctx: Holder): RequestState {
  const known = ctx.state[key] as RequestState | undefined;
  if (known) return known;
  const requestId = (ctx.state as Record<string, unknown>)['requestId'];
  const ip = (ctx.state as Record<string, unknown>)['clientIp'];
  const made: RequestState = {
    origin: {
      ...(typeof ip === 'string' ? { ip } : {}),
      ...(typeof requestId === 'string' ? { requestId } : {}),
    },
    families: new Map(),
    clients: new Map(),
    apiGenerations: new Map(),
  };
  ctx.state[key] = made;
  return made;
}

/** The engine's current request, where there is one. */
export const currentContext = (): KoaContextWithOIDC | undefined => Provider.ctx;

/** The current request's state; a fresh one outside of a request. */
export function currentState(): RequestState {
  const ctx = currentContext();
  return ctx
    ? stateOf(ctx)
    : { origin: {}, families: new Map(), clients: new Map(), apiGenerations: new Map() };
}
