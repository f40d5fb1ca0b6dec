/** The admin API as the verbs see it: signed in, with exactly the scopes that a verb needs. */
import { type Credentials, findCredentials, isLoopback } from './credentials.ts';
import { Failure } from './failure.ts';
import { type Document, text } from './json.ts';
import { grantHint, refusal, tokenRefusal } from './problem.ts';
import { say, type Terminal } from './terminal.ts';
import { type Answer, send } from './wire.ts';

/** The audience of admin tokens. */
const AUDIENCE = 'urn:portcullis:admin';

/** The scopes of the admin API; no other API may use their names. */
const ADMIN_SCOPE = /^(apis|audit|clients|grants|keys|secrets|tokens|users|webhooks):(read|write)$/;

/** The admin scopes that a client's document gives: its sender's token must hold them too. */
export const givenScopes = (client: unknown): readonly string[] =>
  (text(client, 'scope') ?? '').split(' ').filter((scope) => ADMIN_SCOPE.test(scope));

/** What a request carries beside its path. */
export interface RequestParts {
  readonly query?: Readonly<Record<string, string | undefined>> | undefined;
  readonly body?: unknown;
  readonly ifMatch?: string | undefined;
}

/** A signed-in caller. */
export interface Api {
  /** Origin and path that requests go to. */
  readonly url: string;
  readonly clientId: string;
  /** The metadata that the server publishes (RFC 8414). */
  readonly metadata: Document;
  /**
   * One request to the admin API.
   * @param path below `/admin/v1`, with its leading slash
   * @throws Failure for every answer that is not a success, but those in `expected`
   */
  call(method: string, path: string, parts?: RequestParts, expected?: readonly number[]): Promise<Answer>;
}

/**
 * Finds credentials and gets a token, which lives in memory only.
 * @param scopes what the verb needs, no more
 * @throws Failure when the server refuses, or does not answer
 */
export async function connect(
  terminal: Terminal,
  given: string | undefined,
  scopes: readonly string[],
): Promise<Api> {
  const credentials = findCredentials(terminal, given);
  const { url, clientId } = credentials;
  if (url.startsWith('http:') && !isLoopback(new URL(url))) {
    say(terminal, `warning: ${url} is not https: the client secret crosses the network unencrypted`);
  }
  const metadata = await discover(url);
  let token = await getToken(credentials, metadata, scopes);
  const attempt = (method: string, path: string, { query, body, ifMatch }: RequestParts): Promise<Answer> => {
    const target = new URL(`${url}/admin/v1${path}`);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined) target.searchParams.set(name, value);
    }
    return send(target.href, {
      method,
      headers: {
        accept: 'application/json',
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  };
  return {
    url,
    clientId,
    metadata,
    async call(method, path, parts = {}, expected = []) {
      let answer = await attempt(method, path, parts);
      if (answer.status === 401) {
        token = await getToken(credentials, metadata, scopes); // it ended, or was revoked, under a long-running verb
        answer = await attempt(method, path, parts);
      }
      if (answer.status < 300 || expected.includes(answer.status)) return answer;
      throw refusal(answer, { scopes, clientId });
    },
  };
}

/**
 * The server's metadata.
 * @param url origin and path of the server
 * @throws Failure when something else answers there
 */
async function discover(url: string): Promise<Document> {
  const { body, status } = await send(`${url}/.well-known/openid-configuration`);
  if (status !== 200 || text(body, 'token_endpoint') === undefined) {
    throw new Failure(`${url} does not answer like this server (status ${status} for its metadata)`, [
      'The URL must carry the path of the issuer, if it has one.',
    ]);
  }
  return body as Document;
}

/** `published` with the origin of `url`: the server may be known here by a name that its issuer does not say. */
export function reroute(url: string, published: string): string {
  const { pathname, search } = new URL(published);
  return new URL(url).origin + pathname + search;
}

/** The value of an Authorization header: each part form-encoded before it is joined (RFC 6749, 2.3.1). */
export function basic(clientId: string, clientSecret: string): string {
  const encode = (part: string): string => new URLSearchParams({ '': part }).toString().slice(1);
  return `Basic ${Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64')}`;
}

async function getToken(
  credentials: Credentials,
  metadata: Document,
  scopes: readonly string[],
): Promise<string> {
  const { url, clientId, clientSecret } = credentials;
  const answer = await send(reroute(url, text(metadata, 'token_endpoint') ?? url), {
    method: 'POST',
    headers: { accept: 'application/json', authorization: basic(clientId, clientSecret) },
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      resource: AUDIENCE,
      scope: scopes.join(' '),
    }),
  });
  const token = text(answer.body, 'access_token');
  if (answer.status !== 200 || token === undefined) throw tokenRefusal(answer, credentials, scopes);
  const granted = text(answer.body, 'scope')?.split(' ') ?? scopes;
  const missing = scopes.filter((scope) => !granted.includes(scope));
  if (missing.length > 0) {
    throw new Failure(`the client ${clientId} lacks the scope ${missing.join(' ')}`, [grantHint(clientId)]);
  }
  return token;
}
