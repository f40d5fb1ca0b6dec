/** `/account/confirm`: before something sensitive, whoever is signed in signs in once more, in the same session. */
import { toSeconds } from '../lib/clock.ts';
import { PortcullisError } from '../lib/errors.ts';
import { ACR_MFA } from '../provider/acr.ts';
import type { AccountSection, Visit } from './account-section.ts';
import type { BrowserSessions } from './browser-session.ts';
import type { ShowPage } from './pages.ts';
import { single, type Form } from './request-body.ts';
import { showSignIn } from './sign-in-page.ts';
import { signIn, type SignIn, type SignInDependencies } from './sign-in.ts';

/** Seconds that a sign-in is good for. */
const RECENT = 5 * 60;

/** Sections that it leads to. */
const TARGETS = ['factors', 'authenticator', 'password', 'email', 'delete'] as const;
export type Sensitive = (typeof TARGETS)[number];

export interface ConfirmDependencies extends SignInDependencies {
  readonly show: ShowPage;
  readonly basePath: string;
  readonly browserSessions: BrowserSessions;
}

export interface Confirm extends AccountSection {
  /**
   * Whether somebody has signed in within five minutes, with the second factor if they have one.
   * @param recent false: the second factor is enough, however long ago
   */
  done(visit: Visit, recent?: boolean): Promise<boolean>;
  ask(visit: Visit, target: Sensitive): void;
}

export function createConfirm(deps: ConfirmDependencies): Confirm {
  const { basePath, browserSessions } = deps;
  const pathOf = (target: string): string => `${basePath}/account/${target}`;
  const page = (
    { ctx, user, csrf }: Visit,
    target: string,
    outcome?: Exclude<SignIn, { readonly login: object }>,
  ): void => {
    const { username } = user;
    const form = { action: pathOf('confirm'), csrf, client: undefined, fields: { target } };
    showSignIn(deps, ctx, { ...form, confirm: true, username, back: pathOf(target) }, outcome);
  };
  return {
    async done({ session, user }, recent = true) {
      const { loginTs = 0, acr } = session.payload as { loginTs?: number; acr?: string };
      if (recent && toSeconds(deps.clock.now()) - loginTs > RECENT) return false;
      return acr === ACR_MFA || !(await deps.secondFactors.has(user.id));
    },
    ask: page,
    async show({ ctx }) {
      ctx.redirect(`${basePath}/account`);
      ctx.status = 303;
    },
    async submit(visit, sent) {
      const { ctx, session, user, subject } = visit;
      const target = single(sent, 'target') ?? '';
      if (!TARGETS.some((known) => known === target))
        throw new PortcullisError('invalid_request', 400, 'Start again.');
      const form: Form = { ...sent, username: user.username };
      const outcome = await signIn(deps, ctx, form, { subject });
      if (!outcome.login) return page(visit, target, outcome);
      await browserSessions.renew(ctx, session, outcome.login);
      ctx.redirect(pathOf(target));
      ctx.status = 303;
    },
  };
}
