/**
 * POST /token commits once: what belongs to issuing is collected while the engine builds its whole answer, and
 * written in one statement or transaction before that answer is sent.
 * Trap (`actions/grants/refresh_token.js`): the engine consumes and saves before it loads the API, signs and builds
 * claims, and none of it is atomic. Here a failure anywhere leaves the old token usable, and a lost race turns the
 * answer into the error. This wrapper never throws: an error after `next()` would be a bare 500 without CORS.
 */
import type { KoaContextWithOIDC } from 'oidc-provider';
import { toSeconds } from '../lib/clock.ts';
import { derive, open, seal } from '../lib/crypto.ts';
import type { Family, FirstStep, OpaqueToken, RotateStep } from '../storage/families.ts';
import { isUnavailable } from '../storage/failures.ts';
import { optionsOf } from './client-adapter.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { inGrace, isHash, killForCodeReuse, killForReuse } from './family-adapter.ts';
import { stateOf, type RequestState, type TokenUnit } from './request-state.ts';

type Outcome = 'done' | 'refused' | { readonly successor: string; readonly family: Family };

/** The key that seals a successor: it takes the old token and a data key to open it. */
const successorKey = (deps: ProviderDependencies, oldToken: string): Buffer =>
  derive(oldToken, 'refresh token successor', deps.dataKeys.derived('refresh token successor'));

function sealSuccessor(deps: ProviderDependencies, oldToken: string, successor: string): Buffer {
  const key = { id: 'successor', key: successorKey(deps, oldToken) };
  return deps.dataKeys.seal(seal(key, successor, 'successor'), 'successor');
}

function openSuccessor(deps: ProviderDependencies, oldToken: string, sealed: Uint8Array): string {
  const key = successorKey(deps, oldToken);
  return open(() => key, deps.dataKeys.open(sealed, 'successor'), 'successor').toString('utf8');
}

/** Expiry of the access token in the answer, epoch milliseconds. */
function accessEndsAt(ctx: KoaContextWithOIDC, deps: ProviderDependencies): number {
  const seconds = (ctx.body as { expires_in?: number }).expires_in ?? 0;
  return deps.clock.now() + (seconds + 1) * 1000;
}

async function commitFirst(
  ctx: KoaContextWithOIDC,
  deps: ProviderDependencies,
  unit: TokenUnit & Required<Pick<TokenUnit, 'code'>>,
): Promise<Outcome> {
  const familyId = ctx.oidc.entities.Grant?.jti;
  if (familyId === undefined) throw new Error('a code without a grant');
  const ends = accessEndsAt(ctx, deps);
  const step: FirstStep = {
    familyId,
    code: unit.code,
    token: unit.issued?.step,
    endsAt: unit.issued?.endsAt ?? ends,
    accessEndsAt: ends,
    opaque: unit.opaque,
  };
  const outcome = await deps.storage.families.first(step);
  if (outcome === 'code consumed') await killForCodeReuse(deps, familyId);
  return outcome === 'done' ? 'done' : 'refused';
}

async function commitRotation(
  ctx: KoaContextWithOIDC,
  deps: ProviderDependencies,
  unit: TokenUnit & Required<Pick<TokenUnit, 'consumed' | 'issued'>>,
): Promise<Outcome> {
  const { families } = deps.storage;
  const { consumed, issued } = unit;
  const read = await stateOf(ctx).families.get(issued.familyId);
  const hashes = families.tokenHashes(consumed);
  const client = read && (await deps.clients.get(read.clientId));
  const grace = client ? optionsOf(client, deps.settings).rotationGrace : 0;
  if (read?.current && isHash(hashes, read.current)) {
    const step: RotateStep = {
      familyId: issued.familyId,
      old: read.current,
      token: issued.step,
      successor: grace > 0 ? sealSuccessor(deps, consumed, issued.id) : undefined,
      accessEndsAt: accessEndsAt(ctx, deps),
      opaque: unit.opaque,
    };
    try {
      if (await families.rotate(step)) return 'done';
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      // The connection may have broken after the commit: the row itself knows.
      const now = await families.read(issued.familyId);
      if (!isHash([step.token.hash], now?.current)) throw error;
      return 'done';
    }
  }
  const now = await families.read(issued.familyId);
  if (!now?.alive) return 'refused'; // lost against a revocation: nothing to report
  if (grace > 0 && isHash(hashes, now.previous) && now.successor && inGrace(now, grace)) {
    deps.metrics.refreshReuse('grace');
    if (unit.opaque) await saveOpaque(deps, unit.opaque);
    return { successor: openSuccessor(deps, consumed, now.successor), family: now };
  }
  await killForReuse(deps, issued.familyId, now);
  return 'refused';
}

async function saveOpaque(deps: ProviderDependencies, token: OpaqueToken): Promise<void> {
  const { kind, id, payload, expiresAt, grantId } = token;
  await deps.storage.artifacts.save(kind, id, payload, { expiresAt, grantId });
}

async function commit(
  ctx: KoaContextWithOIDC,
  deps: ProviderDependencies,
  unit: TokenUnit,
): Promise<Outcome> {
  const { code, consumed, issued, opaque } = unit;
  if (code) return commitFirst(ctx, deps, { ...unit, code });
  if (consumed !== undefined && issued) return commitRotation(ctx, deps, { ...unit, consumed, issued });
  if (opaque) await saveOpaque(deps, opaque);
  return 'done';
}

function refuse(ctx: KoaContextWithOIDC, status: number, error: string, description: string): void {
  ctx.status = status;
  ctx.body = { error, error_description: description };
}

/** Answers that the database cannot be asked now; nothing was issued. */
export function refuseUnavailable(ctx: KoaContextWithOIDC): void {
  refuse(ctx, 503, 'temporarily_unavailable', 'the server cannot reach its database, try again shortly');
  ctx.set('retry-after', '1');
}

function finishAnswer(
  ctx: KoaContextWithOIDC,
  deps: ProviderDependencies,
  unit: TokenUnit,
  outcome: Outcome,
): void {
  if (outcome === 'refused') {
    refuse(ctx, 400, 'invalid_grant', 'grant request is invalid');
    return;
  }
  const body = ctx.body as Record<string, unknown>;
  if (outcome === 'done') {
    if (unit.issued) body['refresh_token_expires_in'] = unit.issued.expiresIn;
    return;
  }
  const { successor, family } = outcome;
  body['refresh_token'] = successor;
  const endsAt = Math.min(family.endsAt, family.idleEndsAt ?? Infinity);
  body['refresh_token_expires_in'] = Math.max(toSeconds(endsAt - deps.clock.now()), 0);
}

/** The middleware around the engine's token endpoint. */
export function tokenCommit(deps: ProviderDependencies) {
  return async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    const state: RequestState = stateOf(ctx);
    const unit: TokenUnit = {};
    state.unit = unit;
    await next();
    if (ctx.status !== 200) return; // refusals have written what they must; nothing was issued
    try {
      finishAnswer(ctx, deps, unit, await commit(ctx, deps, unit));
    } catch (error) {
      state.serverError = error;
      deps.logger.error({ err: error, request_id: state.origin.requestId }, 'nothing was issued');
      if (isUnavailable(error)) refuseUnavailable(ctx);
      else refuse(ctx, 500, 'server_error', 'oops! something went wrong');
    }
  };
}
