/** OpenTelemetry's own variables, as far as they concern traces; `schema.ts` reads them with the other settings. */

/** Where traces go and which. */
export interface TracingSettings {
  readonly endpoint: string;
  /** Sent with each export; may hold credentials. */
  readonly headers: Readonly<Record<string, string>>;
  /** Attributes of the resource, `service.name` among them. */
  readonly resource: Readonly<Record<string, string>>;
  readonly sampler: {
    /** What the caller decided is kept; else each request is judged by itself. */
    readonly parentBased: boolean;
    /** Share of the traces that are kept, 0 to 1. */
    readonly ratio: number;
  };
}

type Env = Readonly<Record<string, string | undefined>>;

const SAMPLERS: Readonly<Record<string, (arg: number) => TracingSettings['sampler']>> = {
  always_on: () => ({ parentBased: false, ratio: 1 }),
  always_off: () => ({ parentBased: false, ratio: 0 }),
  traceidratio: (ratio) => ({ parentBased: false, ratio }),
  parentbased_always_on: () => ({ parentBased: true, ratio: 1 }),
  parentbased_always_off: () => ({ parentBased: true, ratio: 0 }),
  parentbased_traceidratio: (ratio) => ({ parentBased: true, ratio }),
};

/** `name=value,…`, percent-encoded (W3C Baggage). */
function pairsOf(env: Env, name: string, faults: string[]): Record<string, string> {
  try {
    return Object.fromEntries(
      (env[name] ?? '').split(',').flatMap((pair) => {
        const [key = '', ...rest] = pair.split('=');
        return key.trim() === '' ? [] : [[key.trim(), decodeURIComponent(rest.join('=').trim())]];
      }),
    );
  } catch {
    faults.push(`${name}: must be name=value, comma-separated, percent-encoded`);
    return {};
  }
}

/** Pairs that can be sent as headers; a fault never shows a value, which may be a credential. */
function headersOf(env: Env, name: string, faults: string[]): Record<string, string> {
  const pairs = pairsOf(env, name, faults);
  try {
    return Object.fromEntries(new Headers(pairs));
  } catch {
    faults.push(`${name}: must be names and values that a header can hold`);
    return {};
  }
}

/** @returns undefined when traces go nowhere */
export function tracingSettings(env: Env, faults: string[]): TracingSettings | undefined {
  const given = (name: string): string | undefined => env[name]?.trim() || undefined;
  const exporter = given('OTEL_TRACES_EXPORTER');
  const base = given('OTEL_EXPORTER_OTLP_ENDPOINT');
  const own = given('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  if (given('OTEL_SDK_DISABLED')?.toLowerCase() === 'true' || exporter === 'none') return undefined;
  if (exporter === undefined && base === undefined && own === undefined) return undefined;
  if (exporter !== undefined && exporter !== 'otlp') {
    faults.push('OTEL_TRACES_EXPORTER: must be otlp or none');
  }
  const protocol = given('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') ?? given('OTEL_EXPORTER_OTLP_PROTOCOL');
  if (protocol !== undefined && !protocol.startsWith('http/')) {
    faults.push('OTEL_EXPORTER_OTLP_PROTOCOL: must be http/json: traces are sent over HTTP only (port 4318)');
  }
  const url = URL.parse(own ?? base ?? 'http://localhost:4318');
  if (url && own === undefined) url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`;
  if (!/^https?:$/.test(url?.protocol ?? '') || url?.username || url?.password) {
    faults.push(
      'OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL; credentials go into OTEL_EXPORTER_OTLP_HEADERS',
    );
  }
  const samplerName = given('OTEL_TRACES_SAMPLER') ?? 'parentbased_always_on';
  const sampler = Object.hasOwn(SAMPLERS, samplerName) ? SAMPLERS[samplerName] : undefined;
  if (!sampler) faults.push(`OTEL_TRACES_SAMPLER: must be one of ${Object.keys(SAMPLERS).join(', ')}`);
  const ratio = Number(given('OTEL_TRACES_SAMPLER_ARG') ?? 1);
  if (!(ratio >= 0 && ratio <= 1)) faults.push('OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1');
  const attributes = pairsOf(env, 'OTEL_RESOURCE_ATTRIBUTES', faults);
  return {
    endpoint: url?.href ?? '',
    headers: {
      ...headersOf(env, 'OTEL_EXPORTER_OTLP_HEADERS', faults),
      ...headersOf(env, 'OTEL_EXPORTER_OTLP_TRACES_HEADERS', faults),
    },
    resource: {
      'service.name': 'portcullis',
      ...attributes,
      ...(given('OTEL_SERVICE_NAME') && { 'service.name': given('OTEL_SERVICE_NAME') ?? '' }),
    },
    sampler: sampler?.(ratio) ?? { parentBased: true, ratio },
  };
}
