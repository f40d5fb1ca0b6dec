/** Renders pages for requests: language, caching, and what the engine asks for. */
import type { Context } from 'koa';
import type { ProviderPages } from '../provider/pages.ts';
import type { PortcullisError } from '../lib/errors.ts';
import { factsOf } from './context.ts';
import { pickLocale } from './locales.ts';
import type { ErrorPage, LoginPage, Page, Views } from './views.ts';

/** Shows a page. */
export type ShowPage = (ctx: Context, page: Page, status?: number) => void;

/** The language that the request asks for, else the browser's. */
export function localeOf(ctx: Context): string {
  const asked = ctx.query['ui_locales'];
  const stored = (ctx.state as { uiLocales?: string }).uiLocales;
  return pickLocale(typeof asked === 'string' ? asked : stored, ctx.get('accept-language'));
}

/**
 * @param basePath the issuer's path, '' or '/x'
 * @param offers what the sign-in page offers beside itself
 */
export function createShowPage(
  views: Views,
  basePath: string,
  offers: Pick<LoginPage, 'recover' | 'register'> = {},
): ShowPage {
  return (ctx, page, status = 200) => {
    const locale = localeOf(ctx);
    ctx.status = status;
    ctx.type = 'html';
    ctx.set('cache-control', 'no-store');
    ctx.set('content-language', locale);
    ctx.vary('accept-language');
    // Passkeys are the one thing that needs a script: a file of ours, on the pages that offer them.
    if ('passkey' in page && page.passkey !== undefined) {
      const policy = ctx.response.get('content-security-policy');
      ctx.set('content-security-policy', policy.replace("script-src 'none'", "script-src 'self'"));
    }
    const whole = page.page === 'login' && page.step === undefined ? { ...page, ...offers } : page;
    ctx.body = views.render(whole, { locale, requestId: factsOf(ctx).requestId, basePath });
  };
}

/** The page for an error. */
export const errorPage = ({ code, message, status }: PortcullisError): ErrorPage => ({
  page: 'error',
  code,
  message,
  status,
});

/** The engine's pages. */
export function createProviderPages(
  show: ShowPage,
  text: Views['text'],
  basePath: string,
  usernameOf: (userId: string) => Promise<string | undefined>,
): ProviderPages {
  return {
    interactionPath: (uid) => `/interaction/${uid}`,
    error(ctx, { status, code, description }) {
      show(ctx, { page: 'error', code, message: description ?? '', status }, status);
    },
    async logout(ctx, { action, csrf, clientName, userId }) {
      const username = userId === undefined ? undefined : await usernameOf(userId);
      show(ctx, {
        page: 'logout',
        action,
        csrf,
        client: clientName === undefined ? undefined : { name: clientName },
        account: username === undefined ? undefined : { username },
      });
    },
    formPost(ctx, { clientName: client, action, inputs, script, status }) {
      const words = (key: string): string => text(localeOf(ctx), key, { client });
      const form = { action: '', csrf: undefined, label: words('login.confirm.submit') };
      show(ctx, { page: 'message', title: words('back-to'), text: '', form }, status);
      ctx.body = String(ctx.body)
        .replace('<form method="post" action="">', () => `<form method="post" action="${action}">\n${inputs}`)
        .replace('</head>', () => `<script>${script}</script>\n</head>`);
    },
    signedOut(ctx, { clientName, stayed, apps }) {
      if (stayed) {
        const words = (key: string): string => text(localeOf(ctx), key);
        const link = { href: `${basePath}/account`, label: words('account.title') };
        return show(ctx, { page: 'message', title: words('stayed.title'), text: words('stayed.text'), link });
      }
      return show(ctx, {
        page: 'signed-out',
        apps,
        client: clientName === undefined ? undefined : { name: clientName },
      });
    },
  };
}
