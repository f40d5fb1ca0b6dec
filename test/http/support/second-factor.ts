/** A person with an authenticator app. */
import { expect } from 'vitest';
import { stepOf, totpCode } from '../../../src/users/totp.ts';
import type { Browser, Seen } from '../../support/browser.ts';
import { PASSWORD, type World } from '../../support/fixtures.ts';

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** What an app makes of the secret that is typed into it (RFC 4648, 6). */
function decoded(typed: string): Buffer {
  const bits = typed
    .split('')
    .map((letter) => BASE32.indexOf(letter).toString(2).padStart(5, '0'))
    .join('');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

export interface App {
  /** As the page shows it, without spaces. */
  readonly typed: string;
  readonly secret: Buffer;
  /** What it shows now; `drift` steps later. */
  code(drift?: number): string;
  readonly recoveryCodes: string[];
}

/** The app that scans what the page shows. */
export function scan(page: Seen): App {
  const typed = /<code>([A-Z2-7 ]+)<\/code>/.exec(page.text)?.[1]?.replaceAll(' ', '') ?? '';
  expect(typed).toHaveLength(32);
  const secret = decoded(typed);
  return {
    typed,
    secret,
    code: (drift = 0) => totpCode(secret, stepOf(Date.now()) + drift),
    recoveryCodes: [],
  };
}

/** Signs in at the account pages with the password alone. */
export async function withPassword(world: World, username: string, browser: Browser): Promise<Seen> {
  const form = await browser.go(`${world.url}/account`);
  return browser.submit(form, { username, password: PASSWORD }, '/account/login');
}

/** Signs in and sets up an app. */
export async function withApp(world: World, username: string, browser = world.browser()): Promise<App> {
  await withPassword(world, username, browser);
  const page = await browser.go(`${world.url}/account/authenticator`);
  const app = scan(page);
  const done = await browser.submit(page, { code: app.code() }, '/account/authenticator');
  expect(done.status).toBe(200);
  const recoveryCodes = [...done.text.matchAll(/<li>([0-9A-Z]{5}-[0-9A-Z]{5})<\/li>/g)].map(
    ([, code]) => code ?? '',
  );
  return { ...app, recoveryCodes };
}
