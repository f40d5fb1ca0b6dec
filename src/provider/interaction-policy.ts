/** When a person is asked: to sign in, and to consent. */
import { errors, interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider';

const { Check, Prompt, base } = interactionPolicy;

/** How somebody signed in, as `acr`; `amr` has the details. */
export const ACR_PASSWORD = 'urn:portcullis:acr:password';

const LOOPBACK = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])[:/?]/;

/**
 * Whether nobody can tell that the app behind a request is the client it says it is: a public client on a
 * loopback or private-use scheme redirect (RFC 8252, 8.6). It is asked for each time.
 */
function cannotBeIdentified({ oidc }: KoaContextWithOIDC): boolean {
  const asked = oidc.params?.['redirect_uri'];
  const redirect = typeof asked === 'string' ? asked : '';
  if (oidc.client?.clientAuthMethod !== 'none') return false;
  return LOOPBACK.test(`${redirect}/`) || !/^https?:/.test(redirect);
}

/** The `acr` values of which the ID token must have one (OIDC Core 5.5.1.1); undefined when any will do. */
function essentialAcrs({ oidc }: KoaContextWithOIDC): unknown[] | undefined {
  const asked = oidc.claims?.id_token?.['acr'] as
    { essential?: unknown; value?: unknown; values?: unknown } | null | undefined;
  if (asked?.essential !== true) return undefined;
  if (asked.values !== undefined) {
    if (!Array.isArray(asked.values))
      throw new errors.InvalidRequest('claims.id_token.acr.values must be a list');
    return asked.values as unknown[];
  }
  return asked.value === undefined ? undefined : [asked.value];
}

/** The engine's policy with our changes. */
export function createInteractionPolicy(): interactionPolicy.Prompt[] {
  const prompts = base();
  const login = prompts.get('login');
  const consent = prompts.get('consent');
  if (!login || !consent) throw new Error('the engine lacks a prompt that it had');
  // Trap: without an account the consent checks below would fail on a missing grant, as a 500.
  login.checks.add(
    new Check('account_missing', 'End-User authentication is required', 'login_required', ({ oidc }) =>
      oidc.session?.accountId !== undefined && oidc.account === undefined
        ? Check.REQUEST_PROMPT
        : Check.NO_NEED_TO_PROMPT,
    ),
  );
  // Trap (`prompts/login.js`): for an essential acr that no sign-in gives, the engine asks for ever. It is a failed
  // sign-in (OIDC Core 5.5.1.1), and has an error of its own (OIDC Core Error Code unmet_authentication_requirements).
  login.checks.remove('essential_acr');
  login.checks.remove('essential_acrs');
  login.checks.add(
    new Check('essential_acr', 'the requested ACR could not be obtained', (ctx) => {
      if (essentialAcrs(ctx)?.includes(ACR_PASSWORD) !== false) return Check.NO_NEED_TO_PROMPT;
      throw new errors.CustomOIDCProviderError(
        'unmet_authentication_requirements',
        'the requested ACR cannot be obtained',
      );
    }),
  );
  // OIDC Core 3.1.2.1: asks who it is, although somebody is signed in. Our sign-in page is where accounts are chosen.
  prompts.add(new Prompt({ name: 'select_account', requestable: true }), 0);
  consent.checks.remove('native_client_prompt');
  consent.checks.add(
    new Check('unidentified_client', 'the client cannot be identified', 'interaction_required', (ctx) =>
      cannotBeIdentified(ctx) && !ctx.oidc.result?.consent ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT,
    ),
  );
  return prompts;
}
