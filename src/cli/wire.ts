/** HTTP as the command speaks it: JSON in and out, no redirects followed, and a clear word when nothing answers. */
import { Failure, codeOf } from './failure.ts';
import { parseJson } from './json.ts';

const TIMEOUT = 30_000; // milliseconds

/** What came back. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed; `undefined` when there was none, or it was not JSON. */
  readonly body: unknown;
}

/**
 * Sends one request. Redirects are not followed: they would take a credential elsewhere.
 * @throws Failure when no answer comes, or when it is a redirect
 */
export async function send(url: string, init: RequestInit = {}): Promise<Answer> {
  const signal = AbortSignal.any([AbortSignal.timeout(TIMEOUT), ...(init.signal ? [init.signal] : [])]);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { ...init, redirect: 'manual', signal });
    text = await response.text();
  } catch (error) {
    init.signal?.throwIfAborted();
    throw unreachable(url, error);
  }
  if (response.status >= 300 && response.status < 400) {
    throw new Failure(`${new URL(url).origin} redirects instead of answering`, [
      `It points to ${response.headers.get('location') ?? 'nowhere'}: is that the server's URL? Give it with --url.`,
    ]);
  }
  return { status: response.status, headers: response.headers, body: parseJson(text) };
}

function unreachable(url: string, error: unknown): Failure {
  const { origin } = new URL(url);
  const code = codeOf(error);
  if (code === 'TimeoutError')
    return new Failure(`${origin} did not answer within ${TIMEOUT / 1000} seconds`);
  return new Failure(`${origin} cannot be reached (${code})`, [
    'Is the server running? `npm start` starts it.',
    'Is that its address? Set PORTCULLIS_URL, or give --url.',
  ]);
}
