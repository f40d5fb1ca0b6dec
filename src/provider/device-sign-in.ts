/** Whether somebody signed in the way that a device asked for, some minutes before (OIDC Core 3.1.2.1 and 5.5.1.1). */
import type { SessionRecord } from '../storage/sessions.ts';
import { ACR_MFA, ACR_PASSWORD, requestedBy, type Requested } from './acr.ts';
import { scopeList } from './resources.ts';

/** What a device sent, as it was stored; `askedAt` in epoch seconds. */
export interface DeviceRequest {
  readonly params: Readonly<Record<string, unknown>>;
  readonly askedAt: number;
}

/** What is asked for by an essential claim `acr`. */
function essentialAcr(claims: unknown): Requested | undefined {
  if (typeof claims !== 'string') return undefined;
  const { id_token: asked } = JSON.parse(claims) as { id_token?: { acr?: unknown } | null };
  try {
    const acr = requestedBy(asked?.acr);
    return acr?.essential === true ? acr : undefined;
  } catch {
    return { essential: true, values: [] }; // what cannot be read cannot be met
  }
}

/**
 * `enough`: the device may be let in. `again`: with a sign-in that is newer. `second factor`: with one that takes more.
 * `unmet`: with no sign-in that there is.
 * Whoever has signed in since the device asked has done so for it: that is as new as any `max_age` may demand.
 * @param now epoch seconds
 */
export function judgeSignIn(
  { params, askedAt }: DeviceRequest,
  { payload }: Pick<SessionRecord, 'payload'>,
  now: number,
): 'enough' | 'again' | 'second factor' | 'unmet' {
  const { loginTs = 0, acr } = payload as { loginTs?: number; acr?: string };
  const values = essentialAcr(params['claims'])?.values;
  if (values?.length === 0) return 'unmet';
  const { max_age: maxAge } = params;
  const tooOld =
    scopeList(params['prompt']).includes('login') || (maxAge !== undefined && now - loginTs > Number(maxAge));
  if (tooOld && !(loginTs >= askedAt)) return 'again';
  return values === undefined || values.includes(ACR_PASSWORD) || acr === ACR_MFA
    ? 'enough'
    : 'second factor';
}

/** The `acr` to put into tokens: who did more than was asked for did that as well. */
export const answeredAcr = ({ params }: DeviceRequest, acr: string | undefined): string | undefined => {
  const values = essentialAcr(params['claims'])?.values;
  return acr === ACR_MFA && values?.includes(ACR_MFA) === false ? ACR_PASSWORD : acr;
};
