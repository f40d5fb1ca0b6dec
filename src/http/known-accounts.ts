/**
 * Accounts that have signed in with this browser, for the page that lets one be chosen. Nothing is stored: a signed
 * cookie says it all. It lets nobody in, and holds no name: whoever has it learns opaque ids.
 */
import type { Context } from 'koa';
import type { UserRecord } from '../storage/user-record.ts';

export interface KnownAccounts {
  /** The one that signed in last comes first; those that are gone or disabled are left out. */
  of(ctx: Context): Promise<UserRecord[]>;
  /** To be called when somebody has signed in, second factor and all. */
  remember(ctx: Context, userId: string): void;
  forget(ctx: Context, userId: string): void;
}

/** Milliseconds: the longest that browsers keep a cookie, from the last sign-in on. */
const LIFE = 400 * 24 * 3_600_000;
/** Accounts of one browser. */
const MAX = 5;
const ID = /^[\w-]{1,64}$/;

/** @param secure the issuer is https */
export function createKnownAccounts(
  users: { findById(id: string): Promise<UserRecord | undefined> },
  secure: boolean,
): KnownAccounts {
  // `__Host-`: a neighbour under the same domain cannot plant an account of his own (RFC 6265bis, 4.1.3.2).
  const name = `${secure ? '__Host-' : ''}portcullis_accounts`;
  const read = (ctx: Context): string[] =>
    (ctx.cookies.get(name, { signed: true }) ?? '')
      .split('.')
      .filter((id) => ID.test(id))
      .slice(0, MAX);
  const write = (ctx: Context, ids: readonly string[]): void => {
    ctx.cookies.set(name, ids.length > 0 ? ids.slice(0, MAX).join('.') : null, {
      signed: true,
      httpOnly: true,
      sameSite: 'lax',
      path: '/',
      maxAge: LIFE,
      overwrite: true,
    });
  };
  return {
    async of(ctx) {
      const found = await Promise.all(read(ctx).map((id) => users.findById(id)));
      return found.flatMap((user) => (user?.enabled ? [user] : []));
    },
    remember: (ctx, userId) => write(ctx, [userId, ...read(ctx).filter((id) => id !== userId)]),
    forget: (ctx, userId) =>
      write(
        ctx,
        read(ctx).filter((id) => id !== userId),
      ),
  };
}
