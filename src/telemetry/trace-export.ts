/** Sends finished spans to an OpenTelemetry collector: OTLP over HTTP, in JSON. Used by `tracing.ts` only. */
import type { TracingSettings } from '../config/tracing.ts';
import { VERSION } from '../lib/version.ts';

type Attributes = Readonly<Record<string, string | number>>;

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

/** opentelemetry-proto, SpanKind and StatusCode. */
const KINDS = { server: 2, client: 3 } as const;
const ERROR = 2;

const attributesOf = (attributes: Attributes): object[] =>
  Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value },
  }));

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
  let waiting: Span[] = [];
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> = Promise.resolve();
  let failing = false;
  const attributes = attributesOf({ ...resource, 'service.version': VERSION });

  async function send(batch: readonly Span[]): Promise<void> {
    const scopeSpans = [{ scope: { name: 'portcullis', version: VERSION }, spans: batch.map(encoded) }];
    try {
      const response = await fetch(endpoint, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify({ resourceSpans: [{ resource: { attributes }, scopeSpans }] }),
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT),
      });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`the collector answers ${response.status}`);
      failing = false;
    } catch (error) {
      if (!failing) onError(error);
      failing = true;
    }
  }
  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const batch = waiting.splice(0, BATCH);
    if (batch.length > 0) sending = sending.then(() => send(batch));
    if (waiting.length > 0) timer = setTimeout(() => void flush(), EVERY).unref();
    return sending;
  }
  return {
    add(span) {
      if (waiting.length >= QUEUE) return;
      waiting.push(span);
      if (waiting.length === BATCH) void flush();
      else timer ??= setTimeout(() => void flush(), EVERY).unref();
    },
    async close() {
      while (waiting.length > 0) void flush();
      clearTimeout(timer);
      await sending;
      waiting = [];
    },
  };
}
