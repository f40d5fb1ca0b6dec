/** What a consent page says: who asks, for what in words, and for whom. */
import { OIDC_SCOPES, type ApiRegistry } from '../clients/apis.ts';
import type { Client } from '../clients/registry.ts';
import { CLAIMS_MEMBER, notYetAllowed, OIDC_MEMBER, scopesByOwner } from '../provider/grants.ts';
import { scopeList } from '../provider/resources.ts';
import type { ConsentScopes } from '../storage/consents.ts';
import type { UserRecord } from '../storage/user-record.ts';
import type { ConsentPage, ScopeView } from './views.ts';

/** The parts of the engine's interaction that the pages use. */
export interface InteractionDetails {
  readonly uid: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly prompt: {
    readonly name: string;
    readonly reasons: readonly string[];
    readonly details: Readonly<Record<string, unknown>>;
  };
  readonly session?: { readonly accountId?: string; readonly uid?: string };
  persist(): Promise<unknown>;
}

/** Everything that the request behind an interaction asks for. */
export async function requestedInInteraction(
  apis: ApiRegistry,
  { params, prompt }: InteractionDetails,
): Promise<ConsentScopes> {
  const requested = await scopesByOwner(apis, params);
  const claims = prompt.details['missingOIDCClaims'];
  if (Array.isArray(claims)) requested[CLAIMS_MEMBER] = claims.map(String);
  return requested;
}

/** Scopes as people read them; `offline_access` is spoken of in a sentence of its own. */
export async function scopesInWords(apis: ApiRegistry, scopes: ConsentScopes): Promise<ScopeView[]> {
  const views: ScopeView[] = [];
  for (const [member, names] of Object.entries(scopes)) {
    const claim = member === CLAIMS_MEMBER;
    const api = member === OIDC_MEMBER || claim ? undefined : await apis.get(member);
    for (const name of names) {
      if (name === 'offline_access') continue; // spoken of in a sentence of its own
      // A grant keeps those of OpenID Connect with each API too (`provider/grants.ts`).
      if (member !== OIDC_MEMBER && !claim && OIDC_SCOPES.includes(name)) continue;
      const described = api?.scopes.find((scope) => scope.name === name)?.description;
      const where = api ? { api: api.name } : claim ? { claim } : {};
      views.push({ ...where, name, description: described ?? name });
    }
  }
  return views;
}

/** Where the person is sent afterwards: a host, or an app's own scheme. */
function destination(redirect: unknown): string {
  const url = URL.parse(String(redirect));
  return url?.host || url?.protocol.slice(0, -1) || '';
}

export async function consentPage(
  apis: ApiRegistry,
  details: InteractionDetails,
  client: Client,
  user: UserRecord,
  allowed: ConsentScopes,
): Promise<Omit<ConsentPage, 'action' | 'switchAction' | 'csrf'>> {
  const requested = await requestedInInteraction(apis, details);
  const fresh = notYetAllowed(requested, allowed);
  const already = notYetAllowed(requested, fresh);
  const { client_name, client_uri, policy_uri, tos_uri } = client.metadata;
  return {
    page: 'consent',
    client: {
      name: client_name ?? client.id,
      uri: client_uri,
      policyUri: policy_uri,
      tosUri: tos_uri,
      host: destination(details.params['redirect_uri']),
    },
    account: { username: user.username, name: user.name },
    scopes: await scopesInWords(apis, fresh),
    already: await scopesInWords(apis, already),
    offline: scopeList(details.params['scope']).includes('offline_access'),
  };
}
