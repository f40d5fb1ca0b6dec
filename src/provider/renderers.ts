/** The engine's hooks for pages, handed on to the server's own. */
import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import { isUnavailable } from '../storage/failures.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { takeTold } from './told-clients.ts';

/** The hidden field of the engine's logout form. */
const XSRF = /name="xsrf" value="([^"]*)"/;

/** Errors that people meet for reasons of their own, which the engine calls `invalid_request` or a server error. */
function pageOf(ctx: KoaContextWithOIDC, error: Error): { status: number; code: string } | undefined {
  if (isUnavailable(error)) return { status: 503, code: 'temporarily_unavailable' };
  if (error.name === 'SessionNotFound') return { status: 400, code: 'expired' };
  // The form's field is checked before anything else that can be wrong with it.
  if (ctx.oidc.route === 'end_session_confirm' && error instanceof errors.InvalidRequest)
    return { status: 403, code: 'invalid_csrf' };
  return undefined;
}

export function createRenderers(deps: ProviderDependencies) {
  const { pages, clients } = deps;
  return {
    async error(
      ctx: KoaContextWithOIDC,
      out: { error: string; error_description?: string | undefined },
      error: errors.OIDCProviderError | Error,
    ): Promise<void> {
      const { status, code } = pageOf(ctx, error) ?? { status: ctx.status, code: out.error };
      ctx.status = status;
      if (status === 503) ctx.set('retry-after', '1');
      await pages.error(ctx, { status, code, description: out.error_description });
    },
    async logout(ctx: KoaContextWithOIDC, form: string): Promise<void> {
      const csrf = XSRF.exec(form)?.[1];
      if (csrf === undefined) throw new Error('the engine made a logout form without its field');
      await pages.logout(ctx, {
        action: new URL(ctx.oidc.urlFor('end_session_confirm')).pathname,
        csrf,
        clientName: ctx.oidc.client?.clientName ?? ctx.oidc.client?.clientId,
        userId: ctx.oidc.session?.accountId,
      });
    },
    async signedOut(ctx: KoaContextWithOIDC): Promise<void> {
      const ids = await takeTold(ctx, deps);
      const told = await Promise.all(ids.map((id) => clients.get(id)));
      const session = await ctx.oidc.provider.Session.get(ctx);
      await pages.signedOut(ctx, {
        clientName: ctx.oidc.client?.clientName ?? ctx.oidc.client?.clientId,
        stayed: session.accountId !== undefined,
        apps: told.flatMap((client) => (client ? [client.metadata.client_name ?? client.id] : [])).sort(),
      });
    },
  };
}
