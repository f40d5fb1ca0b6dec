/**
 * Requests to addresses that others chose: webhooks, key sets, back-channel logout. The name is resolved here, once,
 * and the connection goes to the very addresses that were checked, so that no second answer of the DNS can lead it
 * elsewhere. Whoever fetches such a URL comes here.
 */
import { lookup } from 'node:dns/promises';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { isFetchAllowed } from '../config/fetch-allow.ts';
import { isPublicAddress, literalAddress } from './addresses.ts';

/** A request that was refused, or got no answer. The message is for admins and holds nothing of the answer. */
export class OutboundError extends Error {
  override readonly name = 'OutboundError';
}

export interface OutboundOptions {
  /** See `Settings`: hosts that may be on private addresses, and may be asked over http. */
  readonly fetchAllow: readonly string[];
  /** Milliseconds for everything: name, connection, answer. */
  readonly timeout?: number;
  /** Bytes of an answer's body. */
  readonly maxBytes?: number;
  /** Resolves a name; for tests. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

/**
 * Like `fetch`, but it follows no redirect, keeps no connection, and asks public https addresses only.
 * @throws OutboundError
 */
export type OutboundFetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

const TIMEOUT = 10_000;
const MAX_BYTES = 256 * 1024;
/** Statuses whose answers have no body (Fetch, 2.2.3). */
const NO_BODY = new Set([204, 205, 304]);

const resolveAll = async (host: string): Promise<string[]> =>
  (await lookup(host, { all: true })).map(({ address }) => address);

/** Hands the connection the addresses that were checked, whatever name it asks for. */
const pinnedTo =
  (addresses: readonly string[]): LookupFunction =>
  (_host, options, callback) => {
    const found = addresses.map((address) => ({ address, family: isIP(address) }));
    if (options.all === true) callback(null, found);
    else callback(null, found[0]?.address ?? '', found[0]?.family);
  };

export function createOutbound(options: OutboundOptions): OutboundFetch {
  const { fetchAllow, timeout = TIMEOUT, maxBytes = MAX_BYTES, resolve = resolveAll } = options;

  /** The addresses that a URL's host has, and that may be asked. @throws OutboundError */
  async function addressesOf(url: URL, allowed: boolean): Promise<readonly string[]> {
    const literal = literalAddress(url);
    const all = literal === undefined ? await resolve(url.hostname) : [literal];
    const usable = allowed ? all : all.filter(isPublicAddress);
    if (usable.length > 0) return usable;
    throw new OutboundError('the host is on a private address: see PORTCULLIS_FETCH_ALLOW');
  }

  return async function outboundFetch(input, init = {}) {
    const url = new URL(input);
    const allowed = isFetchAllowed(fetchAllow, url);
    if (url.protocol !== 'https:' && !(allowed && url.protocol === 'http:')) {
      throw new OutboundError('only https is asked: see PORTCULLIS_FETCH_ALLOW');
    }
    const late = AbortSignal.timeout(timeout);
    const signal = init.signal ? AbortSignal.any([init.signal, late]) : late;
    try {
      // Puts body and headers into their one form, and refuses credentials in a URL; never fetched itself.
      const asked = new Request(url, { ...init, signal: null, redirect: 'manual' });
      const body = Buffer.from(await asked.arrayBuffer());
      const addresses = await beforeAbort(addressesOf(url, allowed), signal);
      const answer = await send(url, asked, body, pinnedTo(addresses), signal);
      return await responseOf(answer, maxBytes);
    } catch (error) {
      if (error instanceof OutboundError) throw error;
      const reason = signal.aborted ? 'no answer in time' : reasonOf(error);
      throw new OutboundError(reason, { cause: error });
    }
  };
}

/** A lookup cannot be called off, but need not be waited for. */
function beforeAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

function send(
  url: URL,
  { method, headers }: Request,
  body: Buffer,
  lookupPinned: LookupFunction,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method,
        headers: {
          ...Object.fromEntries(headers),
          ...(body.length > 0 && { 'content-length': body.length }),
        },
        lookup: lookupPinned,
        agent: false, // a connection of its own: none that was opened to an address checked for somebody else
        signal,
      },
      resolve,
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** @throws OutboundError when the body is too large */
async function responseOf(answer: IncomingMessage, maxBytes: number): Promise<Response> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) {
      answer.destroy();
      throw new OutboundError(`the answer is larger than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  const { statusCode: status = 500, rawHeaders } = answer;
  const headers = new Headers();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    headers.append(rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '');
  }
  return new Response(NO_BODY.has(status) ? null : Buffer.concat(chunks), { status, headers });
}

/** What went wrong, in the words of the platform's error codes. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return reasonOf(error.errors[0]); // several addresses were tried
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : error.message;
}
