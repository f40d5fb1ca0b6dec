/** Refusals of the server in words: what it said, and what to do next. */
import { isObject } from '../lib/documents.ts';
import type { Credentials } from './credentials.ts';
import { Failure } from './failure.ts';
import { text } from './json.ts';
import { plain } from './terminal.ts';
import type { Answer } from './wire.ts';

/** Who asked for what. */
interface Caller {
  readonly scopes: readonly string[];
  readonly clientId: string;
}

/** An error answer of the admin API (RFC 9457). */
export function refusal({ status, body, headers }: Answer, caller: Caller): Failure {
  const title = text(body, 'title') ?? `the server answered ${status}`;
  const detail = text(body, 'detail');
  const request = text(body, 'request_id') ?? headers.get('x-request-id');
  return new Failure(plain(detail === undefined || detail === title ? title : `${title}: ${detail}`), [
    ...pointers(body),
    ...(request ? [`request id: ${plain(request)}`] : []),
    ...next(status, headers, caller),
  ]);
}

/** The faults of a document, one on each line. */
function pointers(body: unknown): string[] {
  const errors: unknown = isObject(body) ? body['errors'] : undefined;
  if (!Array.isArray(errors)) return [];
  return errors.map((each: unknown) =>
    plain(`${text(each, 'pointer') || '(document)'}: ${text(each, 'detail') ?? 'is not valid'}`),
  );
}

function next(status: number, headers: Headers, { scopes, clientId }: Caller): string[] {
  if (status === 401)
    return ['The server does not take the token that it has just issued: are its clocks right?'];
  // Without a challenge it is not the verb's scope that is missing (RFC 6750, 3).
  if (status === 403 && /\bscope=/.test(headers.get('www-authenticate') ?? '')) {
    return [
      `This verb needs the scope ${scopes.join(' ')}; the client ${clientId} must hold it.`,
      grantHint(clientId),
    ];
  }
  if (status === 412) return ['It was changed by someone else meanwhile: look at it again.'];
  if (status === 429) return [`Try again in ${headers.get('retry-after') ?? 'a few'} seconds.`];
  if (status >= 500) return ['The server’s log has more under that request id.'];
  return [];
}

/** An error answer of the token endpoint (RFC 6749, 5.2). */
export function tokenRefusal(answer: Answer, credentials: Credentials, scopes: readonly string[]): Failure {
  const { status, body, headers } = answer;
  const code = text(body, 'error');
  const said = plain(text(body, 'error_description') ?? code ?? `status ${status}`);
  const { clientId, source } = credentials;
  const request = headers.get('x-request-id');
  const notes = request ? [`request id: ${plain(request)}`] : [];
  if (code === 'invalid_client') {
    return new Failure(`the server does not accept the credential of the client ${clientId}: ${said}`, [
      ...notes,
      `It comes from ${source}: check it.`,
      'On the host, `portcullis bootstrap` replaces a lost admin client.',
    ]);
  }
  if (code === 'invalid_scope') {
    return new Failure(`the client ${clientId} lacks the scope ${scopes.join(' ')}`, [
      ...notes,
      grantHint(clientId),
    ]);
  }
  return new Failure(`no token for the admin API: ${said}`, [
    ...notes,
    ...next(status, headers, { scopes, clientId }),
  ]);
}

/** How a client comes by a scope that it lacks. */
export const grantHint = (clientId: string): string =>
  `An admin who holds it can add it: portcullis clients update ${clientId} --scope "…"`;
