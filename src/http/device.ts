/** `/device`: a person enters the code that a device shows, sees what it asks for, and decides (RFC 8628, 3.3). */
import type { Context } from 'koa';
import type { ApiRegistry } from '../clients/apis.ts';
import type { Client, ClientRegistry } from '../clients/registry.ts';
import { normalizeUserCode, type DeviceDecisions, type WaitingDevice } from '../provider/device-codes.ts';
import type { Accounts } from '../users/accounts.ts';
import type { SecondFactors } from '../users/second-factors.ts';
import type { Throttle } from '../users/throttle.ts';
import type { BrowserSessions, SignedIn } from './browser-session.ts';
import { scopesInWords } from './consent-page.ts';
import { originOf } from './context.ts';
import type { Csrf } from './csrf.ts';
import type { ShowPage } from './pages.ts';
import { single, type Form } from './request-body.ts';
import type { DeviceEnterPage } from './views.ts';
import type { VisitorSignIn } from './visitor-sign-in.ts';

export interface DeviceDependencies {
  readonly show: ShowPage;
  readonly csrf: Csrf;
  readonly basePath: string;
  readonly browserSessions: BrowserSessions;
  readonly visitors: VisitorSignIn;
  readonly decisions: DeviceDecisions;
  readonly clients: ClientRegistry;
  readonly apis: ApiRegistry;
  readonly accounts: Accounts;
  readonly secondFactors: Pick<SecondFactors, 'has'>;
  readonly throttle: Throttle;
}

export interface DevicePages {
  show(ctx: Context): Promise<void>;
  submit(ctx: Context, form: Form): Promise<void>;
  /** "Not you?": signs out, and asks to sign in. */
  switchAccount(ctx: Context, form: Form): Promise<void>;
}

/** As the device shows it: in two groups. */
const grouped = (userCode: string): string => userCode.replace(/^(.{4})(.+)$/, '$1-$2');

export function createDevicePages(deps: DeviceDependencies): DevicePages {
  const { show, csrf, basePath, decisions, throttle, browserSessions } = deps;
  const action = `${basePath}/device`;
  const subject = ({ uid }: SignedIn): string => `device:${uid}`;

  const enter = (
    ctx: Context,
    session: SignedIn,
    more: Partial<DeviceEnterPage> = {},
    status?: number,
  ): void =>
    show(ctx, { page: 'device', step: 'enter', action, csrf: csrf.token(subject(session)), ...more }, status);

  const confirm = async (
    ctx: Context,
    session: SignedIn,
    device: WaitingDevice,
    client: Client,
    userCode: string,
  ) => {
    const user = await deps.accounts.get(session.userId);
    const requested = await decisions.requested(device);
    show(ctx, {
      page: 'device',
      step: 'confirm',
      action,
      csrf: csrf.token(subject(session)),
      switchAction: `${action}/switch`,
      userCode: grouped(userCode),
      client: { name: client.metadata.client_name ?? client.id },
      account: { username: user.username, name: user.name },
      scopes: await scopesInWords(deps.apis, requested),
      offline: true, // the family never hangs on this browser's session
    });
  };

  /** Asks for the sign-in that the device wants: newer, or with a second factor. True when there is nothing to ask. */
  const isSignedInFor = async (
    ctx: Context,
    session: SignedIn,
    device: WaitingDevice,
    typed: string,
  ): Promise<boolean> => {
    const judged = decisions.judge(device, session);
    if (judged === 'enough') return true;
    const canBeMet =
      judged === 'again' || (judged === 'second factor' && (await deps.secondFactors.has(session.userId)));
    if (canBeMet) deps.visitors.ask(ctx, 'device', typed);
    else enter(ctx, session, { userCode: typed, error: 'unmet' }, 422);
    return false;
  };

  const decide = (
    ctx: Context,
    session: SignedIn,
    device: WaitingDevice,
    client: Client,
    allowed: boolean,
  ): Promise<boolean> => {
    if (allowed) return decisions.allow(device, client, session, originOf(ctx));
    const who = { actor: `user:${session.userId}`, userId: session.userId, clientId: client.id };
    return decisions.deny(device, {
      type: 'consent.denied',
      ...originOf(ctx),
      ...who,
      detail: { device: true },
    });
  };

  return {
    async show(ctx) {
      const asked = ctx.query['user_code'];
      const userCode = typeof asked === 'string' ? asked.slice(0, 32) : undefined;
      const session = await browserSessions.current(ctx);
      if (!session) deps.visitors.ask(ctx, 'device', userCode);
      else enter(ctx, session, { userCode });
    },
    async switchAccount(ctx, form) {
      const session = await browserSessions.current(ctx);
      if (session) {
        csrf.check(form, subject(session));
        await browserSessions.end(ctx, session);
      }
      deps.visitors.ask(ctx, 'device', single(form, 'user_code'));
    },
    async submit(ctx, form) {
      const session = await browserSessions.current(ctx);
      const typed = single(form, 'user_code');
      if (!session) {
        deps.visitors.ask(ctx, 'device', typed);
        return;
      }
      csrf.check(form, subject(session));
      if (typed === undefined) return enter(ctx, session, { error: 'missing' }, 422);
      // RFC 8628, 5.1: user codes are short, so guesses are counted.
      const budgets = throttle.forGuess('user code', originOf(ctx).ip);
      const throttled = ({ retryAfter }: { retryAfter: number }): void => {
        ctx.set('retry-after', String(retryAfter));
        enter(ctx, session, { userCode: typed, error: 'throttled', retryAfterSeconds: retryAfter }, 429);
      };
      const blocked = await throttle.check(budgets);
      if (blocked) return throttled(blocked);
      const userCode = normalizeUserCode(typed);
      const device = await decisions.find(userCode);
      const client = device && (await deps.clients.get(device.clientId));
      if (!device || !client?.enabled) {
        const used = await throttle.fail(budgets);
        return used ? throttled(used) : enter(ctx, session, { userCode: typed, error: 'unknown' }, 422);
      }
      const decision = single(form, 'decision');
      if (decision !== 'deny' && !(await isSignedInFor(ctx, session, device, typed))) return;
      if (decision !== 'allow' && decision !== 'deny') return confirm(ctx, session, device, client, userCode);
      if (!(await decide(ctx, session, device, client, decision === 'allow'))) {
        return enter(ctx, session, { userCode: typed, error: 'unknown' }, 422);
      }
      show(ctx, {
        page: 'device',
        step: 'done',
        allowed: decision === 'allow',
        client: { name: client.metadata.client_name ?? client.id },
      });
    },
  };
}
