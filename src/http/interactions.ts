/** Sign-in and consent: the pages between an authorization request and its answer. */
import type { Context } from 'koa';
import { PortcullisError } from '../lib/errors.ts';
import type { ApiRegistry } from '../clients/apis.ts';
import type { ClientRegistry } from '../clients/registry.ts';
import type { Changes } from '../storage/changes.ts';
import type { Consents } from '../storage/consents.ts';
import type { Sessions } from '../storage/sessions.ts';
import type { Accounts } from '../users/accounts.ts';
import type { Throttle } from '../users/throttle.ts';
import type { UserRecord } from '../storage/user-record.ts';
import { consentPage, requestedInInteraction, type InteractionDetails } from './consent-page.ts';
import { originOf } from './context.ts';
import type { Csrf } from './csrf.ts';
import { signIn } from './sign-in.ts';
import type { EngineProvider } from '../provider/build.ts';
import type { ShowPage } from './pages.ts';
import { single, type Form } from './request-body.ts';

export interface InteractionDependencies {
  readonly provider: () => EngineProvider;
  readonly show: ShowPage;
  readonly csrf: Csrf;
  readonly basePath: string;
  readonly clients: ClientRegistry;
  readonly apis: ApiRegistry;
  readonly accounts: Accounts;
  readonly throttle: Throttle;
  readonly users: { findById(id: string): Promise<UserRecord | undefined> };
  readonly consents: Consents;
  readonly sessions: Sessions;
  readonly changes: Changes;
}

const expired = (reason: string): PortcullisError =>
  new PortcullisError(
    'interaction_expired',
    400,
    'This sign-in has expired or was opened in another browser.',
    {
      reason,
    },
  );

/** Answers the routes below `/interaction/:uid`. */
export interface Interactions {
  show(ctx: Context, uid: string): Promise<void>;
  submit(ctx: Context, uid: string, step: string, form: Form): Promise<void>;
}

export function createInteractions(deps: InteractionDependencies): Interactions {
  const { provider, show, csrf, basePath } = deps;
  const subject = (uid: string): string => `interaction:${uid}`;

  /** The interaction that this browser has begun; any other is refused. */
  const detailsOf = async (ctx: Context, uid: string): Promise<InteractionDetails> => {
    let details: InteractionDetails;
    try {
      details = (await provider().interactionDetails(ctx.req, ctx.res)) as InteractionDetails;
    } catch (error) {
      if (error instanceof Error && error.name === 'SessionNotFound') throw expired(error.message);
      throw error;
    }
    if (details.uid !== uid) throw expired('the cookie belongs to another interaction');
    (ctx.state as { uiLocales?: unknown }).uiLocales = details.params['ui_locales'];
    return details;
  };

  const clientOf = async (details: InteractionDetails) => {
    const client = await deps.clients.get(String(details.params['client_id']));
    if (!client?.enabled)
      throw new PortcullisError('invalid_client', 400, 'The app that you came from is not known here.');
    return client;
  };

  const finish = async (ctx: Context, result: Record<string, unknown>): Promise<void> => {
    const returnTo = await provider().interactionResult(ctx.req, ctx.res, result, {
      mergeWithLastSubmission: true,
    });
    ctx.status = 303; // RFC 9700, 4.12: never 307 after a form with credentials
    ctx.redirect(returnTo);
    ctx.status = 303;
  };

  const loginPage = async (ctx: Context, details: InteractionDetails): Promise<void> => {
    const client = await clientOf(details);
    const hint = details.params['login_hint'];
    show(ctx, {
      page: 'login',
      action: `${basePath}/interaction/${details.uid}/login`,
      csrf: csrf.token(subject(details.uid)),
      client: { name: client.metadata.client_name ?? client.id },
      username: typeof hint === 'string' ? hint : undefined,
    });
  };

  const steps: Record<string, (ctx: Context, details: InteractionDetails, form: Form) => Promise<void>> = {
    async login(ctx, details, form) {
      const client = await clientOf(details);
      const outcome = await signIn(deps, form, originOf(ctx), client.id);
      if (outcome.page) {
        const { error, status, retryAfterSeconds } = outcome.page;
        if (retryAfterSeconds !== undefined) ctx.set('retry-after', String(retryAfterSeconds));
        show(
          ctx,
          {
            page: 'login',
            action: `${basePath}/interaction/${details.uid}/login`,
            csrf: csrf.token(subject(details.uid)),
            client: { name: client.metadata.client_name ?? client.id },
            username: single(form, 'username'),
            error,
            retryAfterSeconds,
          },
          status,
        );
        return;
      }
      const before = details.session;
      if (before?.accountId !== undefined && before.accountId !== outcome.login.accountId) {
        await endSession(ctx, details);
      }
      await finish(ctx, { login: outcome.login });
    },

    async consent(ctx, details, form) {
      const userId = details.session?.accountId;
      if (userId === undefined || details.prompt.name !== 'consent')
        throw expired('there is nothing to consent to');
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
    },

    /** "Not you?": ends the browser's session and asks for a sign-in. */
    async switch(ctx, details) {
      if (details.session?.accountId !== undefined) await endSession(ctx, details);
      ctx.redirect(`${basePath}/interaction/${details.uid}`);
      ctx.status = 303;
    },
  };

  /** Trap (`actions/authorization/resume.js`): the engine would log the old account out by a form that needs JavaScript. */
  const endSession = async (ctx: Context, details: InteractionDetails): Promise<void> => {
    const { session } = details;
    if (session?.uid !== undefined && session.accountId !== undefined) {
      await deps.sessions.end(session.uid, {
        type: 'logout.completed',
        ...originOf(ctx),
        actor: `user:${session.accountId}`,
        userId: session.accountId,
        detail: { reason: 'another account signed in' },
      });
    }
    delete (details as { session?: unknown }).session;
    await details.persist();
  };

  return {
    async show(ctx, uid) {
      const details = await detailsOf(ctx, uid);
      const userId = details.session?.accountId;
      if (details.prompt.name !== 'consent' || userId === undefined) return loginPage(ctx, details);
      const [client, user] = await Promise.all([clientOf(details), deps.users.findById(userId)]);
      if (!user) return loginPage(ctx, details);
      const consent = await deps.consents.find(userId, client.id);
      show(ctx, {
        ...(await consentPage(deps.apis, details, client, user, consent?.scopes ?? {})),
        action: `${basePath}/interaction/${uid}/consent`,
        switchAction: `${basePath}/interaction/${uid}/switch`,
        csrf: csrf.token(subject(uid)),
      });
    },
    async submit(ctx, uid, step, form) {
      const details = await detailsOf(ctx, uid);
      csrf.check(form, subject(uid));
      const run = Object.hasOwn(steps, step) ? steps[step] : undefined;
      if (!run) throw new PortcullisError('not_found', 404, 'There is no such page.');
      await run(ctx, details, form);
    },
  };
}
