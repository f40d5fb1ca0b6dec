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
import { isUnavailable } from '../storage/failures.ts';
import type { Family, FirstStep, OpaqueToken, RotateStep } from '../storage/families.ts';
import { CAP_REASON, type FamilyCaps } from '../storage/family-caps.ts';
import { sealContext } from '../storage/sealed-columns.ts';
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
  return deps.dataKeys.seal(seal(key, successor, 'successor'), sealContext.familySuccessor());
}

async function openSuccessor(
  deps: ProviderDependencies,
  oldToken: string,
  sealed: Uint8Array,
): Promise<string> {
  const key = successorKey(deps, oldToken);
  const inner = await deps.dataKeys.open(sealed, sealContext.familySuccessor());
  return open(() => key, inner, 'successor').toString('utf8');
}

/** Expiry of the access token in the answer, epoch milliseconds. */
function accessEndsAt(ctx: KoaContextWithOIDC, deps: ProviderDependencies): number {
  const seconds = (ctx.body as { expires_in?: number }).expires_in ?? 0;
  return deps.clock.now() + (seconds + 1) * 1000;
}

/** The caps on the families of a user, where there are any. */
async function capsOf(
  deps: ProviderDependencies,
  { origin }: RequestState,
  { userId, clientId }: Family,
): Promise<FamilyCaps | undefined> {
  const client = await deps.clients.get(clientId);
  const perClient = client?.metadata.max_families_per_user ?? 0;
  const perUser = deps.settings.maxFamiliesPerUser;
  if (perUser === 0 && perClient === 0) return undefined;
  return {
    userId,
    clientId,
    perUser,
    perClient,
    event: (ended) => ({
      type: 'grant.revoked',
      ...origin,
      actor: 'system',
      userId,
      ...ended,
      detail: { reason: CAP_REASON },
    }),
  };
}

async function commitFirst(
  ctx: KoaContextWithOIDC,
  deps: ProviderDependencies,
  unit: TokenUnit & Required<Pick<TokenUnit, 'code'>>,
): Promise<Outcome> {
  const { families } = deps.storage;
  const state = stateOf(ctx);
  const familyId = ctx.oidc.entities.Grant?.jti;
  const family = familyId === undefined ? undefined : await state.families.get(familyId);
  if (!family) throw new Error('a code without a family');
  const { issued, opaque } = unit;
  const ends = accessEndsAt(ctx, deps);
  const step: FirstStep = {
    familyId: family.id,
    code: unit.code,
    token: issued?.step,
    endsAt: issued?.endsAt ?? ends,
    accessEndsAt: ends,
    opaque,
    caps: issued ? await capsOf(deps, state, family) : undefined,
  };
  const outcome = await families.first(step).catch(async (error: unknown) => {
    // As below. A family without a refresh token holds nothing to tell by: its code is used up.
    if (!isUnavailable(error) || !issued) throw error;
    const now = await families.read(family.id);
    if (!isHash([issued.step.hash], now?.current)) throw error;
    return 'done' as const;
  });
  if (outcome === 'code consumed') await killForCodeReuse(deps, state.origin, family.id, family);
  return outcome === 'done' ? 'done' : 'refused';
}

async function commitRotation(
  ctx: KoaContextWithOIDC,
  deps: ProviderDependencies,
  unit: TokenUnit & Required<Pick<TokenUnit, 'consumed' | 'issued'>>,
): Promise<Outcome> {
  const { families } = deps.storage;
  const { consumed, issued, opaque } = unit;
  const state = stateOf(ctx);
  const hashes = families.tokenHashes(consumed);
  const read = await state.families.get(issued.familyId);
  const client = read && (await deps.clients.get(read.clientId));
  const grace = client ? optionsOf(client, deps.settings).rotationGrace : 0;
  if (read?.current && isHash(hashes, read.current)) {
    const step: RotateStep = {
      familyId: issued.familyId,
      old: read.current,
      token: issued.step,
      successor: grace > 0 ? sealSuccessor(deps, consumed, issued.id) : undefined,
      // A retry inside the window issues an access token that ends as much later, and writes nothing.
      accessEndsAt: accessEndsAt(ctx, deps) + grace * 1000,
      opaque,
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
    if (opaque) await saveOpaque(deps, opaque);
    return { successor: await openSuccessor(deps, consumed, now.successor), family: now };
  }
  await killForReuse(deps, state.origin, issued.familyId, now);
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
  if (consumed !== undefined || issued) throw new Error('a refresh token that no family would hold');
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
  const endsAt = toSeconds(Math.min(family.endsAt, family.idleEndsAt ?? Infinity));
  body['refresh_token_expires_in'] = Math.max(endsAt - toSeconds(deps.clock.now()), 0);
}

/** Refusals have written what they must, and nothing was issued; but a denied device code is answered once. */
async function commitRefusal(
  ctx: KoaContextWithOIDC,
  deps: ProviderDependencies,
  { code }: TokenUnit,
): Promise<void> {
  const { error } = (ctx.body ?? {}) as { error?: string };
  if (code && error === 'access_denied') await deps.storage.artifacts.consume(code.kind, code.id);
}

/** The middleware around the engine's token endpoint. */
export function tokenCommit(deps: ProviderDependencies) {
  return async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    const state: RequestState = stateOf(ctx);
    const unit: TokenUnit = {};
    state.unit = unit;
    await next();
    try {
      if (ctx.status !== 200) return await commitRefusal(ctx, deps, unit);
      finishAnswer(ctx, deps, unit, await commit(ctx, deps, unit));
    } catch (error) {
      state.serverError = error;
      deps.logger.error({ err: error, request_id: state.origin.requestId }, 'nothing was issued');
      if (isUnavailable(error)) refuseUnavailable(ctx);
      else refuse(ctx, 500, 'server_error', 'oops! something went wrong');
    }
  };
}
