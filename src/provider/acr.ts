/** How somebody signed in, and what a client may ask of that (`acr_values`, and the claim `acr`: OIDC Core 5.5.1.1). */
import { errors, interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider';

const { Check } = interactionPolicy;

/** How somebody signed in, as `acr`; `amr` has the details. */
export const ACR_PASSWORD = 'urn:portcullis:acr:password';
export const ACR_MFA = 'urn:portcullis:acr:mfa';
export const ACR_VALUES: readonly string[] = [ACR_PASSWORD, ACR_MFA];

/** The reason of an interaction that is for the second factor alone. */
export const STEP_UP = 'step_up';

export interface Requested {
  readonly essential: boolean;
  /** The ones that we have, most wanted first. */
  readonly values: readonly string[];
}

/** What a request asks for; undefined when anything will do. `acr_values` is the engine's as a claim that is not essential. */
const requested = ({ oidc }: KoaContextWithOIDC): Requested | undefined =>
  requestedBy(oidc.claims?.id_token?.['acr']);

/**
 * The same of the claim `acr` alone.
 * @throws errors.InvalidRequest for essential values that are no list
 */
export function requestedBy(claim: unknown): Requested | undefined {
  const asked = claim as { essential?: unknown; value?: unknown; values?: unknown } | null | undefined;
  const essential = asked?.essential === true;
  const { value, values = value === undefined ? undefined : [value] } = asked ?? {};
  if (values === undefined) return undefined;
  if (Array.isArray(values)) return { essential, values: known(values) };
  if (!essential) return undefined;
  throw new errors.InvalidRequest('claims.id_token.acr.values must be a list');
}

const known = (values: readonly unknown[]): string[] =>
  values.filter((value): value is string => ACR_VALUES.includes(value as string));

/**
 * Trap (`prompts/login.js`): for an essential acr that no sign-in gives, the engine asks for ever. It is a failed
 * sign-in (OIDC Core 5.5.1.1), and has an error of its own (OIDC Core Error Code unmet_authentication_requirements).
 */
const unmet = (): Error =>
  new errors.CustomOIDCProviderError(
    'unmet_authentication_requirements',
    'the requested ACR cannot be obtained',
  );

/**
 * Asks for the second factor of those who have one, where a client wants it and this session lacks it.
 * @param hasSecondFactor by user id
 */
export function createAcrCheck(
  hasSecondFactor: (userId: string) => Promise<boolean>,
): InstanceType<typeof Check> {
  return new Check(STEP_UP, 'the requested ACR could not be obtained', 'login_required', async (ctx) => {
    const { oidc } = ctx;
    const asked = requested(ctx);
    if (!asked) return Check.NO_NEED_TO_PROMPT;
    const { essential, values } = asked;
    if (essential && values.length === 0) throw unmet();
    const userId = oidc.session?.accountId;
    if (userId === undefined || !oidc.account) return Check.NO_NEED_TO_PROMPT; // they are asked to sign in anyway
    if (oidc.acr === ACR_MFA) {
      // Who did more did this as well: the ID token has one of the values that were asked for.
      if (values.length > 0 && !values.includes(ACR_MFA))
        Object.defineProperty(oidc, 'acr', { value: ACR_PASSWORD });
      return Check.NO_NEED_TO_PROMPT;
    }
    const wanted = essential ? !values.includes(ACR_PASSWORD) : values[0] === ACR_MFA;
    if (!wanted) return Check.NO_NEED_TO_PROMPT;
    if (!(await hasSecondFactor(userId))) {
      if (essential) throw unmet();
      return Check.NO_NEED_TO_PROMPT;
    }
    // A wish is no reason to fail where nobody may be asked.
    return essential || !oidc.prompts.has('none') ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT;
  });
}
