/** Sign-in and consent: the pages between an authorization request and its answer. */
import type { Context } from 'koa';
import { toSeconds } from '../lib/clock.ts';
import { PortcullisError } from '../lib/errors.ts';
import type { ApiRegistry } from '../clients/apis.ts';
import type { Client, ClientRegistry } from '../clients/registry.ts';
import { STEP_UP } from '../provider/acr.ts';
import type { Consents } from '../storage/consents.ts';
import type { UserRecord } from '../storage/user-record.ts';
import { createAccountPicker } from './account-picker.ts';
import { isWhoWasAskedFor } from './asked-user.ts';
import type { BrowserSessions, SignedIn } from './browser-session.ts';
import { consentPage, requestedInInteraction, type InteractionDetails } from './consent-page.ts';
import { originOf } from './context.ts';
import type { Csrf } from './csrf.ts';
import { askForSecondStep } from './second-step.ts';
import { showSignIn } from './sign-in-page.ts';
import { signIn, type SignIn, type SignInDependencies } from './sign-in.ts';
import type { EngineProvider } from '../provider/build.ts';
import { errorPage, type ShowPage } from './pages.ts';
import { single, type Form } from './request-body.ts';

export interface InteractionDependencies extends SignInDependencies {
  readonly provider: () => EngineProvider;
  readonly show: ShowPage;
  readonly csrf: Csrf;
  readonly basePath: string;
  readonly clients: ClientRegistry;
  readonly apis: ApiRegistry;
  readonly users: { findById(id: string): Promise<UserRecord | undefined> };
  readonly consents: Consents;
  readonly browserSessions: BrowserSessions;
}

const expired = (reason: string): PortcullisError =>
  new PortcullisError('expired', 400, 'This sign-in has expired or was opened in another browser.', {
    reason,
  });

/** Answers the routes below `/interaction/:uid`. */
export interface Interactions {
  show(ctx: Context, uid: string): Promise<void>;
  submit(ctx: Context, uid: string, step: string, form: Form): Promise<void>;
}

/** Whether the second factor alone is missing. */
const isStepUp = ({ prompt }: InteractionDetails): boolean =>
  prompt.name === 'login' && prompt.reasons.every((reason) => reason === STEP_UP);

/** The prompt, and the member of the interaction's result that answers it. */
const SELECT = 'select_account';

type Step = (ctx: Context, details: InteractionDetails, form: Form) => Promise<void>;

/** Where a client's own pages are, to begin again from. */
function homeOf(client: Client, params: Readonly<Record<string, unknown>>): string | undefined {
  const { initiate_login_uri, client_uri } = client.metadata;
  const redirect = URL.parse(String(params['redirect_uri']));
  return initiate_login_uri ?? client_uri ?? (redirect?.protocol === 'https:' ? redirect.origin : undefined);
}

export function createInteractions(deps: InteractionDependencies): Interactions {
  const { provider, show, csrf, basePath, browserSessions } = deps;
  const picker = createAccountPicker(deps.known, deps.users);
  const subject = (uid: string): string => `interaction:${uid}`;

  /** @throws for any interaction that this browser has not begun; `withDetails` knows what */
  const detailsOf = async (ctx: Context, uid: string): Promise<InteractionDetails> => {
    const details = (await provider().interactionDetails(ctx.req, ctx.res)) as InteractionDetails;
    if (details.uid !== uid) throw expired('the cookie belongs to another interaction');
    (ctx.state as { uiLocales?: unknown }).uiLocales = details.params['ui_locales'];
    return details;
  };

  /** Shows that an interaction cannot go on here, with the way back to its client where one is known. */
  const showExpired = async (ctx: Context, uid: string, error: PortcullisError): Promise<void> => {
    const interaction = (await provider().Interaction.find(uid)) as
      Pick<InteractionDetails, 'params'> | undefined;
    const client = interaction && (await deps.clients.get(String(interaction.params['client_id'])));
    const way =
      client?.enabled === true
        ? {
            client: { name: client.metadata.client_name ?? client.id },
            back: homeOf(client, interaction?.params ?? {}),
          }
        : { back: `${basePath}/account` };
    show(ctx, { ...errorPage(error), ...way }, error.status);
  };

  const clientOf = async (details: InteractionDetails): Promise<Client> => {
    const client = await deps.clients.get(String(details.params['client_id']));
    if (!client?.enabled)
      throw new PortcullisError('invalid_client', 400, 'The app that you came from is not known here.');
    return client;
  };

  /** Who is signed in, when it is still the one for whom the interaction was begun. */
  const signedInFor = async (
    ctx: Context,
    { session }: InteractionDetails,
  ): Promise<SignedIn | undefined> => {
    const current = await browserSessions.current(ctx);
    return current && current.uid === session?.uid && current.userId === session.accountId
      ? current
      : undefined;
  };

  /** Lets an interaction go on in whatever session comes next. */
  const detach = async (details: InteractionDetails): Promise<void> => {
    if (details.session === undefined) return;
    delete (details as { session?: unknown }).session;
    await details.persist();
  };

  const finish = async (ctx: Context, result: Record<string, unknown>): Promise<void> => {
    const returnTo = await provider().interactionResult(ctx.req, ctx.res, result, {
      mergeWithLastSubmission: true,
    });
    ctx.redirect(returnTo);
    ctx.status = 303; // RFC 9700, 4.12: never 307 after a form with credentials
  };

  /**
   * @param sent the form that came to `outcome`; neither at first
   * @param username stands in the form, in place of `login_hint`
   */
  const loginPage = async (
    ctx: Context,
    details: InteractionDetails,
    outcome?: Exclude<SignIn, { readonly login: object }>,
    sent?: Form,
    username?: string,
  ): Promise<void> => {
    const client = await clientOf(details);
    const hint = details.params['login_hint'];
    const path = `${basePath}/interaction/${details.uid}`;
    const form = {
      action: `${path}/login`,
      csrf: csrf.token(subject(details.uid)),
      subject: subject(details.uid),
      client: { name: client.metadata.client_name ?? client.id },
      username: username ?? (typeof hint === 'string' ? hint : undefined),
      back: isStepUp(details) ? undefined : path,
    };
    showSignIn(deps, ctx, form, outcome, sent);
  };

  /** Asks for the second factor alone where the password was checked in this session. */
  const askToSignIn = async (ctx: Context, details: InteractionDetails): Promise<void> => {
    const session = isStepUp(details) ? await signedInFor(ctx, details) : undefined;
    if (session?.userGeneration === undefined) {
      const present = await signedInFor(ctx, details); // asked anew (`prompt=login`, `max_age`): most often it is they
      const user =
        present && !details.params['login_hint'] ? await deps.users.findById(present.userId) : undefined;
      return loginPage(ctx, details, undefined, undefined, user?.username);
    }
    const { userId: accountId, userGeneration: generation, payload } = session;
    const first = { accountId, generation, loginTs: Number(payload['loginTs']) };
    const second = await askForSecondStep(deps, first, subject(details.uid));
    return loginPage(ctx, details, second && { second });
  };

  const login: Step = async (ctx, details, form) => {
    const client = await clientOf(details);
    const outcome = await signIn(deps, ctx, form, { clientId: client.id, subject: subject(details.uid) });
    if (!outcome.login) return loginPage(ctx, details, outcome, form);
    if (!isWhoWasAskedFor(details.params, outcome.login.accountId)) {
      // OIDC Core 3.1.2.1 and 5.5.1: somebody else than the request is about gets no positive answer.
      const error_description = 'another user than the requested one signed in';
      return finish(ctx, { error: 'login_required', error_description });
    }
    // Trap (`actions/authorization/resume.js`): the engine logs another account out by a form that needs JavaScript,
    // and refuses an interaction whose session is not the browser's any more.
    const current = await browserSessions.current(ctx);
    const same = current?.userId === outcome.login.accountId;
    if (current && !same) await browserSessions.end(ctx, current);
    if (!same || current.uid !== details.session?.uid) await detach(details);
    // Trap (`resume.js`): without `ts` the sign-in would be as old as the last page that was answered.
    const { loginTs: ts = toSeconds(deps.clock.now()), ...login } = outcome.login;
    return finish(ctx, { login: { ...login, ts }, [SELECT]: {} });
  };

  /** Shows the accounts to choose from, or the sign-in page where there are none. */
  const choose = async (ctx: Context, details: InteractionDetails): Promise<void> => {
    const session = await signedInFor(ctx, details);
    const accounts = await picker.accounts(ctx, session?.userId);
    if (accounts.length === 0) return loginPage(ctx, details);
    const client = await clientOf(details);
    show(ctx, {
      page: 'login',
      step: 'choose',
      action: `${basePath}/interaction/${details.uid}/select`,
      csrf: csrf.token(subject(details.uid)),
      client: { name: client.metadata.client_name ?? client.id },
      accounts,
    });
  };

  const select: Step = async (ctx, details, form) => {
    if (details.prompt.name !== SELECT) throw expired('there is no account to choose');
    const session = await signedInFor(ctx, details);
    const choice = await picker.choose(ctx, form, session?.userId);
    // The engine goes on by its own rules: a session that is too old for the request is asked to sign in after all.
    if (choice.kind === 'present') return finish(ctx, { [SELECT]: {} });
    if (choice.kind === 'sign-in')
      return loginPage(ctx, details, undefined, undefined, choice.user?.username);
    ctx.redirect(`${basePath}/interaction/${details.uid}`);
    ctx.status = 303;
  };

  const consent: Step = async (ctx, details, form) => {
    const session = await signedInFor(ctx, details);
    if (!session || details.prompt.name !== 'consent') throw expired('there is nothing to consent to');
    const { userId } = session;
    const client = await clientOf(details);
    const who = { ...originOf(ctx), actor: `user:${userId}`, userId, clientId: client.id };
    const decision = single(form, 'decision');
    if (decision === 'allow') {
      const scopes = await requestedInInteraction(deps.apis, details);
      const names = Object.values(scopes).flat();
      await deps.consents.allow(userId, client.id, scopes, {
        type: 'consent.granted',
        ...who,
        detail: { scopes: names },
      });
      await finish(ctx, { consent: {} });
    } else if (decision === 'deny') {
      await deps.changes.record({ type: 'consent.denied', ...who, detail: {} });
      await finish(ctx, { error: 'access_denied', error_description: 'the user denied the request' });
    } else {
      throw new PortcullisError('invalid_request', 400, 'Choose to allow or to deny the request.');
    }
  };

  /** "Not you?": ends the browser's session and asks for a sign-in. */
  const switchAccount: Step = async (ctx, details) => {
    const current = await browserSessions.current(ctx);
    if (current) await browserSessions.end(ctx, current);
    await detach(details);
    ctx.redirect(`${basePath}/interaction/${details.uid}`);
    ctx.status = 303;
  };

  const steps = new Map<string, Step>([
    ['login', login],
    ['select', select],
    ['consent', consent],
    ['switch', switchAccount],
  ]);

  /** Runs `work` on the interaction; one that cannot go on here gets its page. */
  const withDetails = async (
    ctx: Context,
    uid: string,
    work: (details: InteractionDetails) => Promise<void>,
  ): Promise<void> => {
    try {
      await work(await detailsOf(ctx, uid));
    } catch (error) {
      // Another answer to the same page was quicker.
      const over =
        error instanceof Error && error.name === 'SessionNotFound' ? expired(error.message) : error;
      if (!(over instanceof PortcullisError) || over.code !== 'expired') throw error;
      await showExpired(ctx, uid, over);
    }
  };

  return {
    show: (ctx, uid) =>
      withDetails(ctx, uid, async (details) => {
        if (details.prompt.name === SELECT) return choose(ctx, details);
        if (details.prompt.name !== 'consent') return askToSignIn(ctx, details);
        const session = await signedInFor(ctx, details);
        const user = session && (await deps.users.findById(session.userId));
        if (!user) {
          await detach(details);
          return loginPage(ctx, details);
        }
        const client = await clientOf(details);
        const allowed = await deps.consents.find(user.id, client.id);
        show(ctx, {
          ...(await consentPage(deps.apis, details, client, user, allowed?.scopes ?? {})),
          action: `${basePath}/interaction/${uid}/consent`,
          switchAction: `${basePath}/interaction/${uid}/switch`,
          csrf: csrf.token(subject(uid)),
        });
      }),
    submit: (ctx, uid, step, form) =>
      withDetails(ctx, uid, async (details) => {
        csrf.check(form, subject(uid));
        const run = steps.get(step);
        if (!run) throw new PortcullisError('not_found', 404, 'There is no such page.');
        await run(ctx, details, form);
      }),
  };
}
