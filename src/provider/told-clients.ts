/**
 * From the logout to the page that says which apps are told of it: the session is gone by then, so the browser brings
 * the list along, in a cookie that only this server can make.
 */
import type { KoaContextWithOIDC } from 'oidc-provider';
import { SealError } from '../lib/crypto.ts';
import type { ProviderDependencies } from './dependencies.ts';
import { stateOf } from './request-state.ts';

type Deps = Pick<ProviderDependencies, 'dataKeys'>;

const COOKIE = 'portcullis_told';
const CONTEXT = 'told clients';
/** Milliseconds; the page comes right after. */
const LIFE = 60_000;
/** Clients that the page names: a cookie holds no more than 4 KiB. */
const MAX = 20;

const optionsOf = (ctx: KoaContextWithOIDC) => {
  const path = new URL(ctx.oidc.urlFor('end_session_success')).pathname;
  return { signed: false, httpOnly: true, sameSite: 'lax', path, overwrite: true } as const;
};

/** Keeps the list for the page, where the browser goes there. */
export function keepTold({ dataKeys }: Deps) {
  return async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    await next();
    const told = stateOf(ctx).told ?? [];
    if (told.length === 0) return;
    const page = new URL(ctx.oidc.urlFor('end_session_success'));
    const target = URL.parse(ctx.response.get('location'), page);
    if (target?.origin !== page.origin || target.pathname !== page.pathname) return;
    const sealed = dataKeys.seal(JSON.stringify(told.slice(0, MAX)), CONTEXT);
    ctx.cookies.set(COOKIE, sealed.toString('base64url'), { ...optionsOf(ctx), maxAge: LIFE });
  };
}

/** The ids that the browser brings along, once. */
export async function takeTold(ctx: KoaContextWithOIDC, { dataKeys }: Deps): Promise<readonly string[]> {
  const value = ctx.cookies.get(COOKIE, { signed: false });
  if (value === undefined) return [];
  ctx.cookies.set(COOKIE, null, optionsOf(ctx));
  try {
    const opened = await dataKeys.open(Buffer.from(value, 'base64url'), CONTEXT);
    return JSON.parse(opened.toString('utf8')) as string[];
  } catch (error) {
    if (error instanceof SealError) return [];
    throw error;
  }
}
