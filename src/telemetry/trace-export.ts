/** Sends finished spans to an OpenTelemetry collector: OTLP over HTTP, in JSON. Used by `tracing.ts` only. */
import { setTimeout as setTimeoutOf } from 'node:timers/promises';
import type { TracingSettings } from '../config/tracing.ts';
import { VERSION } from '../lib/version.ts';

type Attributes = Readonly<Record<string, string | number>>;

/** Why a batch was not taken, in words that hold nothing of the request. */
class CollectorError extends Error {}

/** A finished span. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string | undefined;
  readonly traceState?: string | undefined;
  readonly name: string;
  readonly kind: 'server' | 'client';
  /** Epoch milliseconds, with fractions. */
  readonly start: number;
  readonly end: number;
  readonly attributes: Attributes;
  readonly failed: boolean;
}

export interface SpanExporter {
  /** Never waits, never throws; spans beyond what a collector takes are dropped. */
  add(span: Span): void;
  /** Sends what is left. */
  close(): Promise<void>;
}

/** OpenTelemetry's defaults for a batch processor; milliseconds. */
const EVERY = 5_000;
const BATCH = 512;
const QUEUE = 2_048;
const TIMEOUT = 10_000;
/** Milliseconds that a stop waits for a collector. */
const LAST_TIMEOUT = 3_000;

/** opentelemetry-proto, SpanKind and StatusCode. */
const KINDS = { server: 2, client: 3 } as const;
const ERROR = 2;

const attributesOf = (attributes: Attributes): object[] =>
  Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value },
  }));

/** What the log may hold of a failure: messages of fetch can quote a header, credentials and all. */
function plain(error: unknown): Error {
  const { name, cause } = error as Error & { cause?: { code?: unknown } };
  if (error instanceof CollectorError) return error;
  return new CollectorError(typeof cause?.code === 'string' ? cause.code : name);
}

/** A double has microseconds left at this size. */
const nanoseconds = (milliseconds: number): string => `${Math.round(milliseconds * 1000)}000`;

const encoded = ({ kind, start, end, attributes, failed, ...span }: Span): object => ({
  ...span,
  kind: KINDS[kind],
  startTimeUnixNano: nanoseconds(start),
  endTimeUnixNano: nanoseconds(end),
  attributes: attributesOf(attributes),
  status: failed ? { code: ERROR } : {},
});

/** @param onError told once when a collector does not take spans, and again after it did */
export function createSpanExporter(
  { endpoint, headers, resource }: Omit<TracingSettings, 'sampler'>,
  onError: (error: unknown) => void,
): SpanExporter {
  const waiting: Span[] = []; // the only queue: one batch at a time is on its way
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let failing = false;
  const attributes = attributesOf({ ...resource, 'service.version': VERSION });

  async function send(batch: readonly Span[], timeout: number): Promise<void> {
    const scopeSpans = [{ scope: { name: 'portcullis', version: VERSION }, spans: batch.map(encoded) }];
    try {
      const response = await fetch(endpoint, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify({ resourceSpans: [{ resource: { attributes }, scopeSpans }] }),
        redirect: 'error',
        signal: AbortSignal.timeout(timeout),
      });
      await response.body?.cancel();
      if (!response.ok) throw new CollectorError(`the collector answers ${response.status}`);
      failing = false;
    } catch (error) {
      if (!failing) onError(plain(error));
      failing = true;
    }
  }
  function later(): void {
    timer ??= setTimeout(flush, EVERY).unref();
  }
  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (sending || waiting.length === 0) return;
    sending = send(waiting.splice(0, BATCH), TIMEOUT).finally(() => {
      sending = undefined;
      if (waiting.length >= BATCH) flush();
      else if (waiting.length > 0) later();
    });
  }
  return {
    add(span) {
      if (waiting.length >= QUEUE) return;
      waiting.push(span);
      if (waiting.length >= BATCH) flush();
      else later();
    },
    async close() {
      clearTimeout(timer);
      const last = waiting.splice(0); // nothing follows what is on its way
      const rest = last.length > 0 ? send(last, LAST_TIMEOUT) : undefined;
      await Promise.race([
        Promise.all([sending, rest]),
        setTimeoutOf(LAST_TIMEOUT, undefined, { ref: false }),
      ]);
    },
  };
}
