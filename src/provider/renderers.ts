/** The engine's hooks for pages, handed on to the server's own. */
import type { errors, KoaContextWithOIDC } from 'oidc-provider';
import { isUnavailable } from '../storage/failures.ts';
import type { ProviderDependencies } from './dependencies.ts';

/** The hidden field of the engine's logout form. */
const XSRF = /name="xsrf" value="([^"]*)"/;

export function createRenderers({ pages }: ProviderDependencies) {
  return {
    async error(
      ctx: KoaContextWithOIDC,
      out: { error: string; error_description?: string | undefined },
      error: errors.OIDCProviderError | Error,
    ): Promise<void> {
      const unavailable = isUnavailable(error);
      if (unavailable) ctx.status = 503;
      await pages.error(ctx, {
        status: ctx.status,
        code: unavailable ? 'temporarily_unavailable' : out.error,
        description: out.error_description,
      });
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
      await pages.signedOut(ctx, { clientName: ctx.oidc.client?.clientName ?? ctx.oidc.client?.clientId });
    },
  };
}
