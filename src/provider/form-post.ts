/** The page that posts an answer to the client (OAuth 2.0 Form Post Response Mode). */
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { ProviderPages } from './pages.ts';

const ENGINE_PAGE = '<title>Submitting Callback</title>';
const SCRIPT = /<script>([\s\S]*?)<\/script>/;
const FORM = /<form method="post" action="([^"]*)">\s*([\s\S]*?)\s*<noscript>/;

/**
 * Trap (`response_modes/form_post.js`): the engine writes the page itself, in English, without `lang` and a name of what
 * it is. Its form and its script (whose hash is in the policy) are kept as they are; the rest is a page like the others.
 */
export const formPostPage =
  (pages: Pick<ProviderPages, 'formPost'>) =>
  async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    await next();
    const html: unknown = ctx.body;
    if (typeof html !== 'string' || !html.includes(ENGINE_PAGE)) return;
    const [, script] = SCRIPT.exec(html) ?? [];
    const [, action, inputs] = FORM.exec(html) ?? [];
    if (script === undefined || action === undefined || inputs === undefined)
      throw new Error('the form_post page of the engine has changed');
    const { client } = (ctx.oidc as KoaContextWithOIDC['oidc'] | undefined) ?? {};
    const clientName = client?.clientName ?? client?.clientId ?? '';
    await pages.formPost(ctx, { clientName, action, inputs, script, status: ctx.status });
  };
