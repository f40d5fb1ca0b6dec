/** Metrics for Prometheus: the only user of prom-client. `app` makes them; callers see narrow functions. */
import { AggregatorRegistry, collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { atMost, oneOf } from './labels.ts';

/** A signing key as its gauge shows it. */
export interface KeyAge {
  readonly kid: string;
  readonly status: string;
  /** Seconds since it was made. */
  readonly ageSeconds: number;
}

/** Everything that is counted. Label values outside their closed set count as `other`. */
export interface Metrics {
  tokenIssued(grantType: string): void;
  /** @param error an OAuth error code */
  tokenError(grantType: string, error: string): void;
  introspection(active: boolean): void;
  /** @param kind `access_token`, `refresh_token`, or `unknown` */
  revocation(kind: string): void;
  refreshReuse(decision: 'grace' | 'revoked'): void;
  /** @param reason the dead reason of the families */
  grantsRevoked(reason: string, count?: number): void;
  /** @param outcome `succeeded`, `failed` or `throttled` */
  login(outcome: string): void;
  clientAuth(method: string, outcome: 'succeeded' | 'failed'): void;
  /**
   * @param addresses in X-Forwarded-For
   * @param trusted whether whoever sent it may speak for others
   */
  forwarded(addresses: number, trusted: boolean): void;
  dbQuery(op: string, seconds: number): void;
  /** @param route the route's pattern, never the path; undefined when none matched */
  httpRequest(method: string, route: string | undefined, status: number, seconds: number): void;
  /** Says where the ages of the signing keys come from; asked at every scrape. */
  watchKeys(source: () => Iterable<KeyAge>): void;
  /**
   * Secrets that are in use and end soon, epoch milliseconds. To be told again and again: what was said is forgotten
   * after five minutes, for another node may say it meanwhile.
   */
  expiringSecrets(secrets: readonly { readonly clientId: string; readonly expiresAt: number }[]): void;
  /** An audit event could not be written. */
  auditFailure(): void;
  /** The exposition text. */
  render(): Promise<string>;
  /** Plain data of this process, for `renderMerged`. */
  snapshot(): Promise<object>;
}

/** Content type of `render()`. */
export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Milliseconds. */
const FORGET_MS = 300_000;
/** More addresses in a header than that count as that many. */
const MANY = 9;
const DB_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
/** OpenTelemetry's semantic conventions for http.server.request.duration. */
const HTTP_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/**
 * Makes the metrics of one process.
 * @param options.version of the product
 * @param options.keyRotationDays the age that signing keys should not pass
 * @param options.process add the usual process and Node.js metrics; once in a process at most
 */
export function createMetrics(options: {
  readonly version: string;
  readonly keyRotationDays?: number;
  readonly process?: boolean;
}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (options.process) collectDefaultMetrics({ register: registry });
  const counter = <const L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name: `portcullis_${name}`, help, labelNames, registers });
  const histogram = <const L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets: number[],
  ) => new Histogram({ name: `portcullis_${name}`, help, labelNames, buckets, registers });

  const issued = counter('tokens_issued_total', 'Token responses', ['grant_type']);
  const errors = counter('token_errors_total', 'Refused token requests', ['grant_type', 'error']);
  const introspections = counter('introspections_total', 'Introspection answers', ['active']);
  const revocations = counter('revocations_total', 'Revocation requests', ['kind']);
  const reuse = counter('refresh_reuse_total', 'Spent refresh tokens seen again', ['decision']);
  const revoked = counter('grants_revoked_total', 'Grants that were ended', ['reason']);
  const logins = counter('logins_total', 'Sign-in attempts', ['outcome']);
  const auth = counter('client_auth_total', 'Client authentications', ['method', 'outcome']);
  const forwarded = counter('forwarded_requests_total', 'Requests by the addresses in X-Forwarded-For', [
    'addresses',
    'trusted',
  ]);
  const auditFailures = counter('audit_write_failures_total', 'Audit events that could not be written', []);
  const db = histogram('db_query_duration_seconds', 'Database operations', ['op'], DB_SECONDS);
  const http = histogram(
    'http_server_request_duration_seconds',
    'HTTP requests',
    ['http_request_method', 'http_route', 'http_response_status_code'],
    HTTP_SECONDS,
  );
  // So that the first one is an increase.
  for (const decision of ['grace', 'revoked']) reuse.inc({ decision }, 0);
  let keys: () => Iterable<KeyAge> = () => [];
  const keyAge = new Gauge({
    name: 'portcullis_signing_key_age_seconds',
    help: 'Age of each signing key',
    labelNames: ['kid', 'status'],
    registers: [],
    aggregator: 'max',
    collect() {
      this.reset();
      for (const { kid, status, ageSeconds } of keys()) this.set({ kid, status }, ageSeconds);
    },
  });
  registry.registerMetric(keyAge);
  const rotation = new Gauge({
    name: 'portcullis_signing_key_rotation_seconds',
    help: 'Age at which a signing key is rotated',
    registers,
    aggregator: 'max',
  });
  if (options.keyRotationDays !== undefined) rotation.set(options.keyRotationDays * 86_400);
  let expiring: { readonly at: number; readonly ends: ReadonlyMap<string, number> } | undefined;
  registry.registerMetric(
    new Gauge({
      name: 'portcullis_expiring_secret_end_seconds',
      help: 'When a client secret ends that is still in use: Unix time, two days ahead at most',
      labelNames: ['client_id'],
      registers: [],
      aggregator: 'max',
      collect() {
        this.reset();
        if (expiring === undefined || performance.now() - expiring.at > FORGET_MS) return;
        for (const [client_id, ends] of expiring.ends) this.set({ client_id }, ends);
      },
    }),
  );
  const buildInfo = new Gauge({
    name: 'portcullis_build_info',
    help: 'Version of this server; always 1',
    labelNames: ['version'],
    registers,
    aggregator: 'first',
  });
  buildInfo.set({ version: options.version }, 1);

  const reason = atMost(50);
  const op = atMost(200);
  const route = atMost(300);
  return {
    tokenIssued: (type) => issued.inc({ grant_type: oneOf.grantType(type) }),
    tokenError: (type, error) =>
      errors.inc({ grant_type: oneOf.grantType(type), error: oneOf.oauthError(error) }),
    introspection: (active) => introspections.inc({ active: String(active) }),
    revocation: (kind) => revocations.inc({ kind: oneOf.tokenKind(kind) }),
    refreshReuse: (decision) => reuse.inc({ decision }),
    grantsRevoked: (why, count = 1) => revoked.inc({ reason: reason(why) }, count),
    login: (outcome) => logins.inc({ outcome: oneOf.loginOutcome(outcome) }),
    clientAuth: (method, outcome) => auth.inc({ method: oneOf.authMethod(method), outcome }),
    forwarded: (addresses, trusted) =>
      forwarded.inc({ addresses: Math.min(addresses, MANY), trusted: String(trusted) }),
    dbQuery: (name, seconds) => db.observe({ op: op(name) }, seconds),
    httpRequest: (method, pattern, status, seconds) =>
      http.observe(
        {
          http_request_method: oneOf.httpMethod(method),
          http_route: route(pattern ?? 'other'),
          http_response_status_code: status >= 100 && status <= 599 ? status : 'other',
        },
        seconds,
      ),
    expiringSecrets: (secrets) => {
      const ends = new Map(secrets.map(({ clientId, expiresAt }) => [clientId, expiresAt / 1000]));
      expiring = { at: performance.now(), ends };
    },
    auditFailure: () => auditFailures.inc(),
    watchKeys: (source) => {
      keys = source;
    },
    render: () => registry.metrics(),
    snapshot: () => registry.getMetricsAsJSON(),
  };
}

/** One exposition text from the snapshots of several processes: counters add up. */
export const renderMerged = (snapshots: readonly object[]): Promise<string> =>
  AggregatorRegistry.aggregate([...snapshots]).metrics();

const COUNTS: ReadonlySet<unknown> = new Set(['counter', 'histogram']);

/** One snapshot of what several processes have counted, without what only a living one can tell. */
export const mergeCounts = (snapshots: readonly object[]): Promise<object> =>
  AggregatorRegistry.aggregate(
    snapshots.map((snapshot) => (snapshot as { type: unknown }[]).filter(({ type }) => COUNTS.has(type))),
  ).getMetricsAsJSON();
