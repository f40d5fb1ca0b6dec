/** The provider: the engine, configured and with every trap closed. The only folder that knows oidc-provider. */
import { decodeJwt, type JWTPayload } from 'jose';
import { errors, Provider, type KoaContextWithOIDC } from 'oidc-provider';
import { mintRefreshToken } from '../grants/refresh-token.ts';
import { toSeconds } from '../lib/clock.ts';
import { randomId } from '../lib/ids.ts';
import { isUnavailable } from '../storage/failures.ts';
import { rememberClients } from './client-adapter.ts';
import { CLOCK_TOLERANCE, compareHashedSecrets, countAuthentications } from './client-authentication.ts';
import { lookForUnknownKeys } from './client-key-sets.ts';
import { createConfiguration } from './configuration.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { formPostPage } from './form-post.ts';
import { endInteractionsOnce } from './interaction-adapter.ts';
import {
  acceptOmittedRedirectUri,
  introspectionNeedsClient,
  missingClientAuthentication,
  logoutOfNobody,
  missingProof,
  refuseUnauthorizedResponseType,
  showRepeatedRedirectUri,
  unauthorizedGrantType,
} from './deviations.ts';
import { OPAQUE_PREFIX, presentToken } from './jwt-access-tokens.ts';
import { stateOf } from './request-state.ts';
import { signedIntrospection } from './signed-introspection.ts';
import { keepTold } from './told-clients.ts';
import { refuseUnavailable, tokenCommit } from './token-commit.ts';

/** The engine, as the rest of the server knows it. */
export type EngineProvider = Provider;

type Next = () => Promise<void>;
type Form = Record<string, unknown>;

const formOf = (ctx: KoaContextWithOIDC): Form | undefined => (ctx.req as { body?: Form }).body;

/** A model whose id is made by the engine's documented, if untyped, hook. */
interface WithTokenId {
  generateTokenId(): string;
}

/** Ids in our own formats: refresh tokens that describe themselves, opaque tokens with a prefix. */
function overrideIds(provider: Provider, { dataKeys }: ProviderDependencies): void {
  const [tagKey] = dataKeys.tagKeys;
  if (!tagKey) throw new Error('there is no tag key');
  const prototypeOf = (model: { prototype: unknown }): WithTokenId => model.prototype as WithTokenId;
  prototypeOf(provider.RefreshToken).generateTokenId = function generateTokenId() {
    const { grantId } = this as { grantId?: string };
    return mintRefreshToken(tagKey, grantId ?? '');
  };
  for (const model of [provider.AccessToken, provider.ClientCredentials]) {
    const prototype = prototypeOf(model);
    const original = prototype.generateTokenId;
    prototype.generateTokenId = function generateTokenId() {
      const id = original.call(this); // also sets the format, by the API's choice
      return (this as { format?: string }).format === 'opaque' ? OPAQUE_PREFIX + randomId(32) : id;
    };
  }
}

/**
 * Trap (`models/replay_detection.js`): find, then save, is not atomic. Of any number of callers one gets true.
 * Trap (`helpers/validate_dpop.js`): a DPoP proof whose `iat` lies ahead is good for longer than its id is kept. More
 * than the tolerance ahead is refused (RFC 9449, 11.1), and every id is kept for as much longer.
 * Trap (same place): it says of a proof that was used that the grant or token is invalid, and a client would throw that
 * away; the proof is (RFC 9449, 5 and 7.1).
 */
function atomicReplayDetection(provider: Provider, { storage, clock }: ProviderDependencies): void {
  provider.ReplayDetection.unique = async (issuer: string, jti: string, exp: number) => {
    const proof = dpopProof(Provider.ctx);
    if (proof?.jti === jti && proof.nonce === undefined && isAhead(proof.iat, toSeconds(clock.now())))
      throw new errors.InvalidDpopProof('DPoP proof iat is in the future');
    const id = JSON.stringify([issuer, jti]);
    const first = await storage.artifacts.insertOnce('ReplayDetection', id, (exp + CLOCK_TOLERANCE) * 1000);
    if (!first && proof?.jti === jti) throw new errors.InvalidDpopProof('DPoP proof JWT Replay detected');
    return first;
  };
}

const isAhead = (iat: unknown, now: number): boolean =>
  typeof iat === 'number' && iat > now + CLOCK_TOLERANCE;

/** The claims of the request's proof, which the engine has verified by then. */
function dpopProof(ctx: { get(name: string): string } | undefined): JWTPayload & { nonce?: unknown } {
  const proof = ctx?.get('dpop');
  return proof ? decodeJwt(proof) : {};
}

/** Trap (`models/client.js`): only clients with back-channel logout would get a `sid`; our tokens name theirs. */
function alwaysIncludeSid(provider: Provider): void {
  provider.Client.prototype.includeSid = () => true;
}

/** Answers in JSON where the database cannot be reached, whatever the engine made of it. */
async function serverErrors(ctx: KoaContextWithOIDC, next: Next): Promise<void> {
  await next();
  const { serverError } = stateOf(ctx);
  if (ctx.status === 500 && serverError && isUnavailable(serverError) && ctx.type === 'application/json') {
    refuseUnavailable(ctx);
  }
}

/** /introspect and /revoke: what is presented may be a JWT. */
function presentedTokens(deps: ProviderDependencies) {
  return async (ctx: KoaContextWithOIDC, next: Next): Promise<void> => {
    const form = formOf(ctx);
    if (form) presentToken(form, stateOf(ctx));
    await next();
    if (ctx.path === '/revoke') {
      // An empty text body breaks clients that parse every answer as JSON.
      if (ctx.status === 200) ctx.body = {};
    } else if (ctx.status === 200) {
      // A client's own token is about the client (RFC 9068, 2.2), which the engine leaves out.
      const body = ctx.body as { active?: boolean; sub?: string; client_id?: string } | undefined;
      if (body?.active === true && body.sub === undefined && body.client_id !== undefined)
        body.sub = body.client_id;
      deps.metrics.introspection((ctx.body as { active?: boolean } | undefined)?.active === true);
    }
  };
}

/** Token metrics, after the commit has decided. */
function countTokens({ metrics }: ProviderDependencies) {
  return async (ctx: KoaContextWithOIDC, next: Next): Promise<void> => {
    await next();
    const sent = formOf(ctx)?.['grant_type'];
    const grantType = typeof sent === 'string' ? sent : 'none';
    if (ctx.status === 200) metrics.tokenIssued(grantType);
    else metrics.tokenError(grantType, (ctx.body as { error?: string } | undefined)?.error ?? 'other');
  };
}

/** Runs `middlewares` for one method of one path only. */
function on(
  method: 'GET' | 'POST',
  path: string,
  ...middlewares: ((ctx: KoaContextWithOIDC, next: Next) => Promise<void>)[]
) {
  return (ctx: KoaContextWithOIDC, next: Next): Promise<void> => {
    if (ctx.method !== method || ctx.path !== path) return next();
    const run = (index: number): Promise<void> => {
      const middleware = middlewares[index];
      return middleware ? middleware(ctx, () => run(index + 1)) : next();
    };
    return run(0);
  };
}

const REFUSALS = ['grant.error', 'introspection.error', 'revocation.error', 'authorization.error'] as const;

/** The engine's events of one shape, which its types list apart. */
interface Refusals {
  on(
    name: (typeof REFUSALS)[number],
    listener: (ctx: KoaContextWithOIDC, error: Error & { error_detail?: string }) => void,
  ): void;
}

/** Builds a provider. Cheap: a rotation of keys builds a new one and swaps it in. */
export function buildProvider(deps: ProviderDependencies): Provider {
  const { settings, logger } = deps;
  const provider = new Provider(settings.issuer, createConfiguration(deps));
  provider.proxy = true; // the server in front has pinned host and protocol to the issuer's
  overrideIds(provider, deps);
  atomicReplayDetection(provider, deps);
  alwaysIncludeSid(provider);
  endInteractionsOnce(provider, deps);
  compareHashedSecrets(provider, deps);
  lookForUnknownKeys(provider, deps.clock);
  rememberClients(provider, deps);
  acceptOmittedRedirectUri(provider);
  refuseUnauthorizedResponseType(provider);
  showRepeatedRedirectUri(provider);

  provider.on('server_error', (ctx, error) => {
    stateOf(ctx).serverError = error;
    logger.error({ err: error, request_id: stateOf(ctx as never).origin.requestId }, 'server error');
  });
  const refused = provider as unknown as Refusals;
  for (const name of REFUSALS) {
    refused.on(name, (ctx, error) => {
      if (name === 'grant.error') missingProof(ctx, error);
      logger.info(
        {
          event: name,
          outcome: (ctx.body as { error?: string } | undefined)?.error ?? error.message,
          reason: error.error_detail,
          client_id: ctx.oidc.client?.clientId,
          request_id: stateOf(ctx as never).origin.requestId,
        },
        'request refused',
      );
    });
  }

  provider.use(serverErrors as never);
  for (const path of ['/token', '/revoke', '/introspect', '/par', '/device_authorization'])
    provider.use(
      on('POST', path, countAuthentications(deps), missingClientAuthentication(settings.issuer)) as never,
    );
  provider.use(on('POST', '/token', countTokens(deps), unauthorizedGrantType, tokenCommit(deps)) as never);
  provider.use(
    on(
      'POST',
      '/introspect',
      introspectionNeedsClient(settings.issuer),
      signedIntrospection(deps),
      presentedTokens(deps),
    ) as never,
  );
  provider.use(on('POST', '/device_authorization', unauthorizedGrantType) as never);
  provider.use(on('POST', '/revoke', presentedTokens(deps)) as never);
  provider.use(formPostPage(deps.pages) as never);
  provider.use(on('GET', '/logout', logoutOfNobody) as never);
  provider.use(on('POST', '/logout/confirm', keepTold(deps)) as never);
  return provider;
}
