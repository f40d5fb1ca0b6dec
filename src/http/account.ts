/** `/account`: where people see what has access to their account and what happened to it, and take it in hand. */
import type { Context } from 'koa';
import { PortcullisError } from '../lib/errors.ts';
import { createActivity, type ActivityDependencies } from './account-activity.ts';
import { createAppsSection, type AppsDependencies } from './account-apps.ts';
import { createConfirm, type ConfirmDependencies } from './account-confirm.ts';
import { createFactorSections } from './account-factors.ts';
import { createPasswordSection } from './account-password.ts';
import { common, type AccountSection, type Visit } from './account-section.ts';
import { createSessionsSection } from './account-sessions.ts';
import type { SignedIn } from './browser-session.ts';
import type { Csrf } from './csrf.ts';
import type { Form } from './request-body.ts';
import type { VisitorSignIn } from './visitor-sign-in.ts';

export interface AccountDependencies extends ActivityDependencies, AppsDependencies, ConfirmDependencies {
  readonly csrf: Csrf;
  readonly visitors: VisitorSignIn;
}

/** Answers below `/account`; `section` is '' for the profile. */
export interface AccountPages {
  show(ctx: Context, section: string): Promise<void>;
  submit(ctx: Context, section: string, form: Form): Promise<void>;
}

/** What the server knows of somebody, and the way to everything else. */
function createProfileSection({ show }: Pick<AccountDependencies, 'show'>): AccountSection {
  return {
    async show(visit, notices) {
      const { username, name, email, emailVerified } = visit.user;
      const account = { username, name, email, emailVerified };
      show(visit.ctx, { ...common(visit, notices), section: 'profile', account });
    },
    async submit() {
      throw new PortcullisError('not_found', 404, 'There is no such page.');
    },
  };
}

export function createAccountPages(deps: AccountDependencies): AccountPages {
  const { csrf, basePath, browserSessions, visitors } = deps;
  const profile = createProfileSection(deps);
  const activity = createActivity(deps);
  const confirm = createConfirm(deps);
  const factors = createFactorSections(deps, confirm);
  const sections = new Map<string, AccountSection>([
    ['', profile],
    ['apps', createAppsSection(deps)],
    ['sessions', createSessionsSection(deps)],
    ['activity', activity],
    ['factors', factors.list],
    ['authenticator', factors.authenticator],
    ['password', createPasswordSection(deps, confirm, profile.show)],
    ['confirm', confirm],
  ]);
  const sectionOf = (name: string): AccountSection => {
    const found = sections.get(name);
    if (!found) throw new PortcullisError('not_found', 404, 'There is no such page.');
    return found;
  };
  const pathOf = (name: string): string => `${basePath}/account${name === '' ? '' : `/${name}`}`;
  const subjectOf = (session: SignedIn): string => `account:${session.uid}`;
  const redirect = (ctx: Context, name: string): void => {
    ctx.redirect(pathOf(name));
    ctx.status = 303;
  };
  const visitOf = async (ctx: Context, session: SignedIn, name: string): Promise<Visit> => ({
    ctx,
    session,
    user: await deps.accounts.get(session.userId),
    action: pathOf(name),
    csrf: csrf.token(subjectOf(session)),
    subject: subjectOf(session),
    replays: await activity.replays(ctx, session.userId),
  });

  return {
    async show(ctx, name) {
      const session = await browserSessions.current(ctx);
      if (!session) return visitors.ask(ctx, name === '' ? 'profile' : name);
      if (name === 'login') return redirect(ctx, '');
      return sectionOf(name).show(await visitOf(ctx, session, name));
    },
    async submit(ctx, name, form) {
      if (name === 'login') return visitors.submit(ctx, form);
      const session = await browserSessions.current(ctx);
      if (!session) return redirect(ctx, name);
      csrf.check(form, subjectOf(session));
      return sectionOf(name).submit(await visitOf(ctx, session, name), form);
    },
  };
}
