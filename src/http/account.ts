/** `/account`: where people see what has access to their account and what happened to it, and take it in hand. */
import type { Context } from 'koa';
import type { Settings } from '../config/schema.ts';
import { PortcullisError } from '../lib/errors.ts';
import { createActivity, type ActivityDependencies } from './account-activity.ts';
import { createAppsSection, type AppsDependencies } from './account-apps.ts';
import { createConfirm, type ConfirmDependencies } from './account-confirm.ts';
import { createDeleteSection, type DeleteDependencies } from './account-delete.ts';
import { createEmailSection, type EmailDependencies } from './account-email.ts';
import { createFactorSections } from './account-factors.ts';
import { createPasswordSection } from './account-password.ts';
import { common, visitorOf, type AccountSection, type Visit } from './account-section.ts';
import { createSessionsSection } from './account-sessions.ts';
import type { SignedIn } from './browser-session.ts';
import type { Csrf } from './csrf.ts';
import { createRecover } from './recover.ts';
import { createRegister } from './register.ts';
import { localeOf } from './pages.ts';
import type { Form } from './request-body.ts';
import { createVerifyAddress, type VerifyAddressDependencies } from './verify-address.ts';
import type { VisitorPage } from './visitor-page.ts';
import type { VisitorSignIn } from './visitor-sign-in.ts';

export interface AccountDependencies
  extends
    ActivityDependencies,
    AppsDependencies,
    ConfirmDependencies,
    DeleteDependencies,
    EmailDependencies,
    VerifyAddressDependencies {
  readonly csrf: Csrf;
  readonly visitorSignIn: VisitorSignIn;
  readonly settings: Pick<Settings, 'accountDeletion'>;
}

/** Answers below `/account`; `section` is '' for the profile. */
export interface AccountPages {
  show(ctx: Context, section: string): Promise<void>;
  submit(ctx: Context, section: string, form: Form): Promise<void>;
}

/** What the server knows of somebody, and a confirmed address. */
function createProfileSection({
  show,
  basePath,
  mailing,
  offers,
  settings,
}: AccountDependencies): AccountSection {
  const section: AccountSection = {
    async show(visit, notices) {
      const { username, name, email, emailVerified } = visit.user;
      const account = { username, name, email, emailVerified };
      const confirmable = offers.recover && email !== undefined && !emailVerified;
      show(visit.ctx, {
        ...common(visit, notices),
        section: 'profile',
        action: `${basePath}/account/profile`, // others show it as well
        account,
        confirmable,
        changeable: offers.recover,
        deletable: settings.accountDeletion,
      });
    },
    async submit(visit) {
      const { ctx, user } = visit;
      const { id: userId, email, emailVerified } = user;
      if (!offers.recover || email === undefined || emailVerified) return section.show(visit);
      const { ip } = visitorOf(visit);
      const refused = await mailing.ask({ kind: 'verify', userId, email, locale: localeOf(ctx) }, ip);
      return section.show(visit, [{ kind: refused ? 'mail-later' : 'mail-sent' }]);
    },
  };
  return section;
}

export function createAccountPages(deps: AccountDependencies): AccountPages {
  const { csrf, basePath, browserSessions, visitorSignIn } = deps;
  const profile = createProfileSection(deps);
  const activity = createActivity(deps);
  const confirm = createConfirm(deps);
  const factors = createFactorSections(deps, confirm);
  const sections = new Map<string, AccountSection>([
    ['', profile],
    ['profile', profile],
    ['apps', createAppsSection(deps)],
    ['sessions', createSessionsSection(deps)],
    ['activity', activity],
    ['factors', factors.list],
    ['authenticator', factors.authenticator],
    ['password', createPasswordSection(deps, confirm, profile.show)],
    ['confirm', confirm],
    ...(deps.offers.recover ? [['email', createEmailSection(deps, confirm, profile.show)] as const] : []),
    ...(deps.settings.accountDeletion ? [['delete', createDeleteSection(deps, confirm)] as const] : []),
  ]);
  /** Where mails lead, and where they are asked for; nobody needs to be signed in. */
  const open = new Map<string, VisitorPage>(
    deps.offers.recover
      ? [
          ['recover', createRecover(deps)],
          ['register', createRegister(deps)],
          ['verify', createVerifyAddress(deps)],
        ]
      : [],
  );
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
    action: pathOf(name === '' ? 'profile' : name),
    csrf: csrf.token(subjectOf(session)),
    subject: subjectOf(session),
    replays: await activity.replays(ctx, session.userId),
  });

  return {
    async show(ctx, name) {
      const page = open.get(name);
      if (page) return page.show(ctx);
      const session = await browserSessions.current(ctx);
      if (!session) return visitorSignIn.ask(ctx, name === '' ? 'profile' : name);
      if (name === 'login') return redirect(ctx, '');
      await browserSessions.seen(ctx, session);
      return sectionOf(name).show(await visitOf(ctx, session, name));
    },
    async submit(ctx, name, form) {
      const page = open.get(name);
      if (page) return page.submit(ctx, form);
      if (name === 'login') return visitorSignIn.submit(ctx, form);
      const session = await browserSessions.current(ctx);
      if (!session) return redirect(ctx, name);
      csrf.check(form, subjectOf(session));
      return sectionOf(name).submit(await visitOf(ctx, session, name), form);
    },
  };
}
