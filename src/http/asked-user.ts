/** The user whom an authorization request is about, where it names one. */
import { decodeJwt } from 'jose';

/**
 * Whether the user who signed in is the one that `id_token_hint` or a requested `sub` names.
 * Trap (`actions/authorization/index.js`): the engine looks at the hint before the sign-in only. It has verified it.
 */
export function isWhoWasAskedFor(params: Readonly<Record<string, unknown>>, accountId: string): boolean {
  const { id_token_hint: hint, claims } = params;
  const wanted: unknown[] = [];
  if (typeof hint === 'string') wanted.push(decodeJwt(hint).sub);
  if (typeof claims === 'string') {
    const asked = JSON.parse(claims) as { id_token?: { sub?: { value?: unknown } | null } | null };
    wanted.push(asked.id_token?.sub?.value);
  }
  return wanted.every((sub) => sub === undefined || sub === accountId);
}
