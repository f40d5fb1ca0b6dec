/** When a person is asked: to sign in, and to consent. */
import { interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider';
import { createAcrCheck } from './acr.ts';

const { Check, Prompt, base } = interactionPolicy;

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Whether nobody can tell that the app behind a request is the client it says it is: a public client on a
 * loopback or private-use scheme redirect (RFC 8252, 8.6). It is asked for each time.
 */
function cannotBeIdentified({ oidc }: KoaContextWithOIDC): boolean {
  if (oidc.client?.clientAuthMethod !== 'none') return false;
  // As browsers read it: `http://LOCALHOST` is a loopback too.
  const redirect = URL.parse(String(oidc.params?.['redirect_uri']));
  return !redirect || LOOPBACK.has(redirect.hostname) || !/^https?:$/.test(redirect.protocol);
}

/**
 * The engine's policy with our changes.
 * @param hasSecondFactor by user id
 * @param refuse what cannot be answered in the end, before anybody is asked anything; it throws
 */
export function createInteractionPolicy(
  hasSecondFactor: (userId: string) => Promise<boolean>,
  refuse: (ctx: KoaContextWithOIDC) => void,
): interactionPolicy.Prompt[] {
  const prompts = base();
  const login = prompts.get('login');
  const consent = prompts.get('consent');
  if (!login || !consent) throw new Error('the engine lacks a prompt that it had');
  login.checks.add(
    new Check('answerable', 'the request cannot be answered now', 'temporarily_unavailable', (ctx) => {
      if (ctx.oidc.requestParamScopes.has('openid')) refuse(ctx);
      return Check.NO_NEED_TO_PROMPT;
    }),
    0,
  );
  // Trap: without an account the consent checks below would fail on a missing grant, as a 500.
  login.checks.add(
    new Check('account_missing', 'End-User authentication is required', 'login_required', ({ oidc }) =>
      oidc.session?.accountId !== undefined && oidc.account === undefined
        ? Check.REQUEST_PROMPT
        : Check.NO_NEED_TO_PROMPT,
    ),
  );
  login.checks.remove('essential_acr');
  login.checks.remove('essential_acrs');
  login.checks.add(createAcrCheck(hasSecondFactor));
  // OIDC Core 3.1.2.1: asks who it is, although somebody is signed in. The page has the accounts of this browser.
  prompts.add(new Prompt({ name: 'select_account', requestable: true }), 0);
  consent.checks.remove('native_client_prompt');
  consent.checks.add(
    new Check('unidentified_client', 'the client cannot be identified', 'interaction_required', (ctx) =>
      cannotBeIdentified(ctx) && !ctx.oidc.result?.consent ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT,
    ),
  );
  return prompts;
}
