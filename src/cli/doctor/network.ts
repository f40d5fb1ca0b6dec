/** What callers meet: the issuer under its own name, and what proxies on the way add. */
import type { Settings } from '../../config/schema.ts';
import { codeOf } from '../failure.ts';
import { parseJson, text } from '../json.ts';
import { fail, ok, warn, type Finding } from './finding.ts';

const TIMEOUT = 5_000; // milliseconds
const TLS = /CERT|TLS|SSL|SIGNATURE|HOSTNAME|ALTNAME|EPROTO/;

/** Asks for discovery by the issuer's name, as every client does. */
export async function checkIssuer({ issuer, environment }: Settings): Promise<Finding> {
  const url = `${issuer}/.well-known/openid-configuration`;
  let response: Response;
  let document: unknown;
  try {
    response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT) });
    document = parseJson(await response.text());
  } catch (error) {
    const code = codeOf(error);
    return TLS.test(code)
      ? fail(
          'issuer',
          `${url}: TLS fails (${code})`,
          'Look at the certificate of the proxy: its name, its end, its chain.',
        )
      : fail(
          'issuer',
          `${url} does not answer (${code})`,
          'Start the server; look at DNS, firewall and proxy.',
        );
  }
  const { status } = response;
  if (status !== 200) {
    const advice = 'The proxy must hand every path below the issuer to the server, without redirects.';
    return fail('issuer', `${url} answers ${status}`, advice);
  }
  const said = text(document, 'issuer');
  if (said !== issuer) {
    return fail(
      'issuer',
      `${url} is answered by ${said === undefined ? 'something else' : 'a server with another issuer'}`,
      'PORTCULLIS_ISSUER must be the very name under which clients reach this server, path included.',
    );
  }
  if (issuer.startsWith('https:')) return ok('issuer', `${issuer} answers, over TLS`);
  return environment === 'production'
    ? fail('issuer', `${issuer} is not https`, 'Give it a certificate.')
    : ok('issuer', `${issuer} answers, without TLS: for development only`);
}

interface Arrived {
  readonly addresses: number;
  readonly trusted: boolean;
  readonly requests: number;
}

const SAMPLE = /^portcullis_forwarded_requests_total\{([^}]*)\} (\d+)$/gm;

/** What the server has seen since its start, from its metrics. */
function arrivedIn(metrics: string): Arrived[] {
  return [...metrics.matchAll(SAMPLE)].map(([, labels = '', requests]) => ({
    addresses: Number(/addresses="(\d)/.exec(labels)?.[1] ?? 0),
    trusted: labels.includes('trusted="true"'),
    requests: Number(requests),
  }));
}

/** Compares the trusted hops with the X-Forwarded-For headers that have arrived at the running server. */
export async function checkProxy(settings: Settings): Promise<Finding> {
  const { managementHost, managementPort, trustProxy } = settings;
  const host = managementHost === '0.0.0.0' ? '127.0.0.1' : managementHost;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${managementPort}/metrics`;
  let metrics: string;
  try {
    metrics = await (await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT) })).text();
  } catch (error) {
    return warn(
      'proxy',
      `what arrives cannot be told: ${url} does not answer (${codeOf(error)})`,
      'Run it where the server runs, with its settings, while it runs.',
    );
  }
  return judgeProxy(trustProxy, arrivedIn(metrics));
}

export function judgeProxy(trustProxy: Settings['trustProxy'], arrived: readonly Arrived[]): Finding {
  const count = (which: (each: Arrived) => boolean): number =>
    arrived.filter(which).reduce((sum, { requests }) => sum + requests, 0);
  const all = count(() => true);
  if (all === 0) return warn('proxy', 'no request has arrived yet', 'Run it again once the server was used.');
  const ignored = count(({ trusted, addresses }) => !trusted && addresses > 0);
  if (ignored > 0) {
    return warn(
      'proxy',
      `X-Forwarded-For came with ${ignored} of ${all} requests from whom PORTCULLIS_TRUST_PROXY does not trust, and was ignored`,
      'If a proxy stands before the server, trust it: else all callers share one sign-in throttle. If none does, callers made it up.',
    );
  }
  const hops = typeof trustProxy === 'number' ? trustProxy : Math.min(1, trustProxy.length);
  if (hops === 0) return ok('proxy', 'no proxy is trusted, and none was seen');
  const short = count(({ trusted, addresses }) => trusted && addresses < hops);
  if (short > 0) {
    return warn(
      'proxy',
      `${short} of ${all} requests came with fewer than ${hops} addresses in X-Forwarded-For`,
      'Fewer proxies than PORTCULLIS_TRUST_PROXY says, or callers who go past them and may claim any address.',
    );
  }
  if (typeof trustProxy === 'number' && count(({ addresses }) => addresses <= hops) === 0) {
    return warn(
      'proxy',
      `every request came with more than ${hops} addresses in X-Forwarded-For`,
      'If more proxies stand before the server, count them all in PORTCULLIS_TRUST_PROXY.',
    );
  }
  return ok(
    'proxy',
    `${all} requests came through ${hops} trusted ${hops === 1 ? 'proxy' : 'proxies'} at least`,
  );
}
