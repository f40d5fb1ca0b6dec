/** `/account`: where people see what has access to their account, take it back, and change their password. */
import type { Context } from 'koa';
import { PortcullisError } from '../lib/errors.ts';
import type { ApiRegistry } from '../clients/apis.ts';
import type { ClientRegistry } from '../clients/registry.ts';
import type { GrantAdministration } from '../grants/administration.ts';
import type { UserRecord } from '../storage/user-record.ts';
import type { Accounts } from '../users/accounts.ts';
import { MIN_PASSWORD_CHARACTERS } from '../users/password-policy.ts';
import type { Throttle } from '../users/throttle.ts';
import { changePassword } from './account-password.ts';
import type { BrowserSessions, SignedIn } from './browser-session.ts';
import { scopesInWords } from './consent-page.ts';
import { originOf } from './context.ts';
import type { Csrf } from './csrf.ts';
import type { ShowPage } from './pages.ts';
import { single, type Form } from './request-body.ts';
import type { AccountNotice } from './views.ts';
import type { VisitorSignIn } from './visitor-sign-in.ts';

export interface AccountDependencies {
  readonly show: ShowPage;
  readonly csrf: Csrf;
  readonly basePath: string;
  readonly browserSessions: BrowserSessions;
  readonly visitors: VisitorSignIn;
  readonly clients: ClientRegistry;
  readonly apis: ApiRegistry;
  readonly accounts: Accounts;
  readonly grants: GrantAdministration;
  readonly throttle: Throttle;
}

/** Answers below `/account`; `section` is '' for the profile. */
export interface AccountPages {
  show(ctx: Context, section: string): Promise<void>;
  submit(ctx: Context, section: string, form: Form): Promise<void>;
}

export function createAccountPages(deps: AccountDependencies): AccountPages {
  const { show, csrf, basePath, browserSessions, accounts } = deps;
  const pathOf = (section: string): string => `${basePath}/account${section === '' ? '' : `/${section}`}`;
  const subjectOf = (session: SignedIn): string => `account:${session.uid}`;

  const redirect = (ctx: Context, section: string): void => {
    ctx.redirect(pathOf(section));
    ctx.status = 303;
  };

  const profile = (ctx: Context, user: UserRecord): void =>
    show(ctx, {
      page: 'account',
      section: 'profile',
      account: {
        username: user.username,
        name: user.name,
        email: user.email,
        emailVerified: user.emailVerified,
      },
    });

  const apps = async (
    ctx: Context,
    session: SignedIn,
    notices: readonly AccountNotice[] = [],
  ): Promise<void> => {
    const connected = await deps.grants.connectedApps(session.userId);
    show(ctx, {
      page: 'account',
      section: 'apps',
      action: pathOf('apps'),
      csrf: csrf.token(subjectOf(session)),
      notices,
      apps: await Promise.all(
        connected.map(async ({ clientId, scopes, since, lastUsedAt }) => ({
          clientId,
          client: { name: (await deps.clients.get(clientId))?.metadata.client_name ?? clientId },
          scopes: await scopesInWords(deps.apis, scopes),
          offline: scopes['']?.includes('offline_access') ?? false,
          since,
          lastUsed: lastUsedAt,
        })),
      ),
    });
  };

  const removeApp = async (ctx: Context, session: SignedIn, form: Form): Promise<void> => {
    const clientId = single(form, 'client_id');
    if (clientId === undefined) throw new PortcullisError('invalid_request', 400, 'Choose an app.');
    await deps.grants.disconnect(session.userId, clientId, {
      ...originOf(ctx),
      actor: `user:${session.userId}`,
    });
    const client = await deps.clients.get(clientId);
    await apps(ctx, session, [{ kind: 'access-removed', client: client?.metadata.client_name ?? clientId }]);
  };

  const password = (ctx: Context, session: SignedIn, user: UserRecord): void =>
    show(ctx, {
      page: 'account',
      section: 'password',
      action: pathOf('password'),
      csrf: csrf.token(subjectOf(session)),
      account: { username: user.username, name: user.name },
      minLength: MIN_PASSWORD_CHARACTERS,
    });

  const setPassword = async (
    ctx: Context,
    session: SignedIn,
    user: UserRecord,
    form: Form,
  ): Promise<void> => {
    const outcome = await changePassword(deps, { user, session, form, origin: originOf(ctx) });
    if (!outcome) {
      show(ctx, {
        page: 'account',
        section: 'profile',
        notices: [{ kind: 'password-changed' }],
        account: {
          username: user.username,
          name: user.name,
          email: user.email,
          emailVerified: user.emailVerified,
        },
      });
      return;
    }
    const { errors, status, retryAfterSeconds } = outcome;
    if (retryAfterSeconds !== undefined) ctx.set('retry-after', String(retryAfterSeconds));
    show(
      ctx,
      {
        page: 'account',
        section: 'password',
        action: pathOf('password'),
        csrf: csrf.token(subjectOf(session)),
        account: { username: user.username, name: user.name },
        minLength: MIN_PASSWORD_CHARACTERS,
        errors,
        retryAfterSeconds,
      },
      status,
    );
  };

  return {
    async show(ctx, section) {
      const session = await browserSessions.current(ctx);
      if (!session) {
        deps.visitors.ask(ctx, section === 'apps' || section === 'password' ? section : 'profile');
        return;
      }
      const user = await accounts.get(session.userId);
      if (section === 'apps') return apps(ctx, session);
      if (section === 'password') return password(ctx, session, user);
      if (section === 'login') return redirect(ctx, '');
      return profile(ctx, user);
    },
    async submit(ctx, section, form) {
      if (section === 'login') return deps.visitors.submit(ctx, form);
      const session = await browserSessions.current(ctx);
      if (!session) return redirect(ctx, section);
      csrf.check(form, subjectOf(session));
      if (section === 'apps') return removeApp(ctx, session, form);
      return setPassword(ctx, session, await accounts.get(session.userId), form);
    },
  };
}
