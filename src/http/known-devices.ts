/**
 * Browsers in which a user has signed in before. Such a browser has a budget of failures of its own, so that
 * strangers who know only the name cannot lock the user out. Nothing is stored: a cookie that only this server can
 * make says it all. It lets nobody in; whoever steals it may guess as often as its owner.
 */
import { createHmac } from 'node:crypto';
import type { Context } from 'koa';
import { equalBytes } from '../lib/crypto.ts';
import { randomId } from '../lib/ids.ts';
import { usernameKey } from '../storage/users.ts';

export interface KnownDevices {
  /** Names this browser, when that user has signed in with it. `username` is as typed: it need not exist. */
  of(ctx: Context, username: string): string | undefined;
  /** To be called when a user has signed in. */
  remember(ctx: Context, username: string): void;
}

/** Milliseconds: the longest that browsers keep a cookie, from the last sign-in on. */
const LIFE = 400 * 24 * 3_600_000;
/** Users of one browser that are remembered; the one who was here last comes first. */
const USERS = 5;
const COOKIE = /^[\w-]{22}(?:\.[\w-]{43}){1,5}$/;

/**
 * @param key 32 bytes
 * @param secure the issuer is https
 */
export function createKnownDevices(key: Buffer, secure: boolean): KnownDevices {
  const name = `${secure ? '__Host-' : ''}portcullis_device`;
  const markOf = (device: string, username: string): string =>
    createHmac('sha256', key)
      .update(JSON.stringify([device, usernameKey(username)]))
      .digest('base64url');
  /** The cookie: the device's random name, then a mark for each user. */
  const read = (ctx: Context): { device: string | undefined; marks: string[] } => {
    const value = ctx.cookies.get(name, { signed: false }) ?? '';
    if (!COOKIE.test(value)) return { device: undefined, marks: [] };
    const [device, ...marks] = value.split('.');
    return { device, marks };
  };
  return {
    of(ctx, username) {
      const { device, marks } = read(ctx);
      if (device === undefined) return undefined;
      const own = Buffer.from(markOf(device, username));
      return marks.some((mark) => equalBytes(Buffer.from(mark), own)) ? device : undefined;
    },
    remember(ctx, username) {
      const { device = randomId(), marks } = read(ctx);
      const own = markOf(device, username);
      const value = [device, own, ...marks.filter((mark) => mark !== own)].slice(0, USERS + 1).join('.');
      ctx.cookies.set(name, value, {
        signed: false,
        httpOnly: true,
        sameSite: 'lax',
        path: '/',
        maxAge: LIFE,
        overwrite: true,
      });
    },
  };
}
