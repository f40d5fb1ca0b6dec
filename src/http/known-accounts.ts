/**
 * Accounts that have signed in with this browser, for the page that lets one be chosen. Nothing is stored: a
 * sealed cookie says it all. It lets nobody in; whoever has it learns from the page who has signed in here.
 */
import type { Context } from 'koa';
import { SealError } from '../lib/crypto.ts';
import type { DataKeys } from '../storage/data-keys.ts';
import type { UserRecord } from '../storage/user-record.ts';

export interface KnownAccounts {
  /** The one that signed in last comes first; those that are gone or disabled are left out. */
  of(ctx: Context): Promise<UserRecord[]>;
  /** To be called when somebody has signed in, second factor and all. */
  remember(ctx: Context, userId: string): Promise<void>;
  forget(ctx: Context, userId: string): Promise<void>;
}

/** Milliseconds: the longest that browsers keep a cookie, from the last sign-in on. */
const LIFE = 400 * 24 * 3_600_000;
/** Accounts of one browser. */
const MAX = 5;
const CONTEXT = 'known accounts';

/** @param secure the issuer is https */
export function createKnownAccounts(
  users: { findById(id: string): Promise<UserRecord | undefined> },
  dataKeys: Pick<DataKeys, 'seal' | 'open'>,
  secure: boolean,
): KnownAccounts {
  // `__Host-`: a neighbour under the same domain cannot plant an account of his own (RFC 6265bis, 4.1.3.2).
  const name = `${secure ? '__Host-' : ''}portcullis_accounts`;
  const read = async (ctx: Context): Promise<string[]> => {
    try {
      const sealed = Buffer.from(ctx.cookies.get(name, { signed: false }) ?? '', 'base64url');
      return JSON.parse((await dataKeys.open(sealed, CONTEXT)).toString('utf8')) as string[];
    } catch (error) {
      if (error instanceof SealError) return [];
      throw error;
    }
  };
  const write = (ctx: Context, ids: readonly string[]): void => {
    const sealed = dataKeys.seal(JSON.stringify(ids.slice(0, MAX)), CONTEXT).toString('base64url');
    ctx.cookies.set(name, ids.length > 0 ? sealed : null, {
      signed: false,
      httpOnly: true,
      sameSite: 'lax',
      path: '/',
      maxAge: LIFE,
      overwrite: true,
    });
  };
  const others = async (ctx: Context, userId: string): Promise<string[]> =>
    (await read(ctx)).filter((id) => id !== userId);
  return {
    async of(ctx) {
      const found = await Promise.all((await read(ctx)).map((id) => users.findById(id)));
      return found.flatMap((user) => (user?.enabled ? [user] : []));
    },
    async remember(ctx, userId) {
      write(ctx, [userId, ...(await others(ctx, userId))]);
    },
    async forget(ctx, userId) {
      write(ctx, await others(ctx, userId));
    },
  };
}
