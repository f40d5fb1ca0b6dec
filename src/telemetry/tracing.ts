/**
 * Traces: a span for each request, and for each database operation in it. Only made when a collector is configured.
 * OpenTelemetry's SDK is not used: what a server needs of it is less than what it brings.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Settings } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import { randomHex } from '../lib/ids.ts';
import { createSpanExporter } from './trace-export.ts';

/** A request as it comes in. */
export interface TracedRequest {
  readonly method: string;
  /** `http` or `https`, and the issuer's host. */
  readonly scheme: string;
  readonly host: string;
  /** W3C Trace Context, from a trusted caller only. */
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
}

export interface Tracing {
  /**
   * Runs `work` in a span of its own.
   * @param outcome asked afterwards: the route's pattern, never the path, and the status
   */
  request(
    about: TracedRequest,
    work: () => Promise<void>,
    outcome: () => { readonly route: string | undefined; readonly status: number },
  ): Promise<void>;
  /** Passes on what it is told of a database operation, and makes a span of it when a request is under way. */
  measured(onQuery: (op: string, seconds: number) => void): (op: string, seconds: number) => void;
  /** Of the request under way. */
  traceId(): string | undefined;
  /** Sends what is left. */
  close(): Promise<void>;
}

interface Current {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/;
const ZEROS = /^0+$/;
/** Characters (W3C Trace Context, 3.3.1.5). */
const TRACESTATE_LIMIT = 512;
/** HTTP semantic conventions: any other method would make names without end. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** The caller's span. */
function parentOf(traceparent: string | undefined): Current | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || ZEROS.test(traceId) || ZEROS.test(spanId))
    return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags ?? '0', 16) & 1) === 1 };
}

/** By the 56 random bits of an id (W3C Trace Context 2), so that all who see it decide alike. */
const chosen = (traceId: string, ratio: number): boolean =>
  Number.parseInt(traceId.slice(-14), 16) < ratio * 2 ** 56;

/**
 * @param onError see `createSpanExporter`
 * @returns undefined when traces go nowhere
 */
export function createTracing(
  { tracing: settings, databaseUrl }: Pick<Settings, 'tracing' | 'databaseUrl'>,
  clock: Clock,
  onError: (error: unknown) => void,
): Tracing | undefined {
  if (!settings) return undefined;
  const database = databaseUrl.startsWith('file:') ? 'sqlite' : 'postgresql';
  const { parentBased, ratio } = settings.sampler;
  const exporter = createSpanExporter(settings, onError);
  const storage = new AsyncLocalStorage<Current>();
  return {
    async request({ method, scheme, host, traceparent, tracestate }, work, outcome) {
      const parent = parentOf(traceparent);
      const traceId = parent?.traceId ?? randomHex(16);
      const sampled = parent && parentBased ? parent.sampled : chosen(traceId, ratio);
      const current = { traceId, spanId: randomHex(8), sampled };
      const [start, started] = [clock.now(), performance.now()];
      try {
        await storage.run(current, work);
      } finally {
        if (sampled) {
          const { route, status } = outcome();
          const verb = METHODS.has(method) ? method : '_OTHER';
          const short = tracestate !== undefined && tracestate.length <= TRACESTATE_LIMIT;
          exporter.add({
            traceId,
            spanId: current.spanId,
            parentSpanId: parent?.spanId,
            traceState: parent && short ? tracestate : undefined,
            name: [verb === '_OTHER' ? 'HTTP' : verb, route].filter(Boolean).join(' '),
            kind: 'server',
            start,
            end: start + performance.now() - started,
            attributes: {
              'http.request.method': verb,
              'http.response.status_code': status,
              'url.scheme': scheme,
              'server.address': host,
              ...(route === undefined ? {} : { 'http.route': route }),
              ...(status >= 500 ? { 'error.type': String(status) } : {}),
            },
            failed: status >= 500,
          });
        }
      }
    },
    measured: (onQuery) => (op, seconds) => {
      onQuery(op, seconds);
      const current = storage.getStore();
      if (!current?.sampled) return;
      const end = clock.now();
      exporter.add({
        traceId: current.traceId,
        spanId: randomHex(8),
        parentSpanId: current.spanId,
        name: op,
        kind: 'client',
        start: end - seconds * 1000,
        end,
        attributes: { 'db.system.name': database, 'db.query.summary': op },
        failed: false,
      });
    },
    traceId: () => storage.getStore()?.traceId,
    close: () => exporter.close(),
  };
}
