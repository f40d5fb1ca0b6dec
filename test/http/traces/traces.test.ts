/** Traces, as a collector gets them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld } from '../../support/fixtures.ts';
import { basicAuth, freePort } from '../../support/server.ts';

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string };
}
interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status: { readonly code?: number };
}
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

/** A collector: what came, as it came. */
async function collector(status = 200) {
  const requests: { path: string; headers: Record<string, unknown>; body: string }[] = [];
  const server = createServer((req, res) => {
    let body = '';
    req.on('data', (chunk: Buffer) => (body += chunk.toString()));
    req.on('end', () => {
      requests.push({ path: req.url ?? '', headers: req.headers, body });
      res.writeHead(status).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const exports = () => requests.map(({ body }) => JSON.parse(body) as Export);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    exports,
    spans: () =>
      exports().flatMap(({ resourceSpans }) =>
        resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
      ),
  };
}

const valuesOf = (attributes: readonly Attribute[]): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]));

const [TRACE, SPAN] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
const traceparent = `00-${TRACE}-${SPAN}-01`;

describe.each(databaseKinds)('with a collector, on %s', (kind) => {
  it('each request is a span by its route, its database operations are below it, and no credential is in either', async () => {
    const to = await collector();
    const world = await startWorld({
      kind,
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: `${to.url}/`,
        OTEL_EXPORTER_OTLP_HEADERS: 'api-key=of%20mine',
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
        OTEL_SERVICE_NAME: 'sign-in',
      },
    });
    const tokens = await world.tokens(world.web);
    await world.refresh(world.web, tokens.refresh_token ?? '');
    await fetch(`${world.url}/nothing/${tokens.access_token}?token=${tokens.access_token}`);
    await world.close();

    expect(new Set(to.requests.map(({ path }) => path))).toEqual(new Set(['/v1/traces']));
    expect(to.requests[0]?.headers).toMatchObject({
      'api-key': 'of mine',
      'content-type': 'application/json',
    });
    expect(valuesOf(to.exports()[0]?.resourceSpans[0]?.resource.attributes ?? [])).toMatchObject({
      'service.name': 'sign-in',
      'deployment.environment.name': 'test',
    });
    const served = to.spans().filter((span) => span.kind === 2);
    const [refresh] = served.filter(({ name }) => name === 'POST /token').slice(-1);
    expect(valuesOf(refresh?.attributes ?? [])).toEqual({
      'http.request.method': 'POST',
      'http.response.status_code': 200,
      'http.route': '/token',
      'url.scheme': 'http',
      'server.address': '127.0.0.1',
    });
    expect(served.find(({ name }) => name === 'GET')?.attributes).toContainEqual({
      key: 'http.response.status_code',
      value: { intValue: '404' },
    });
    const below = to.spans().filter(({ parentSpanId }) => parentSpanId === refresh?.spanId);
    expect(below.map(({ name }) => name)).toEqual(expect.arrayContaining(['families.rotate']));
    for (const each of below) {
      expect(each).toMatchObject({ kind: 3, traceId: refresh?.traceId });
      expect(valuesOf(each.attributes)).toEqual({ 'db.system.name': kind, 'db.query.summary': each.name });
      expect(BigInt(each.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(each.startTimeUnixNano));
    }
    const everything = to.requests.map(({ body }) => body).join();
    const secrets = [
      world.web.secret,
      tokens.code,
      tokens.verifier,
      tokens.access_token,
      tokens.refresh_token,
      '?',
    ];
    for (const secret of secrets) expect(everything).not.toContain(secret);
  });
});

it.each([
  [
    'is continued from a trusted proxy',
    { PORTCULLIS_TRUST_PROXY: '1' },
    { traceparent, tracestate: 'a=b' },
    true,
    1,
  ],
  [
    'that the proxy does not keep is not kept',
    { PORTCULLIS_TRUST_PROXY: '1' },
    { traceparent: traceparent.replace(/01$/, '00') },
    true,
    0,
  ],
  ['that anybody claims is ignored', {}, { traceparent, tracestate: 'a=b' }, false, 1],
  [
    'that cannot be read is ignored',
    { PORTCULLIS_TRUST_PROXY: '1' },
    { traceparent: `00-${'0'.repeat(32)}-${SPAN}-01` },
    false,
    1,
  ],
])('a trace %s', async (_, env, headers, continued, kept) => {
  const to = await collector();
  const world = await startWorld({ env: { ...env, OTEL_EXPORTER_OTLP_ENDPOINT: to.url } });
  await fetch(`${world.url}/jwks`, { headers: headers as Record<string, string> });
  await world.close();
  const spans = to.spans().filter(({ name }) => name === 'GET /jwks');
  expect(spans).toHaveLength(kept);
  for (const span of spans) {
    if (continued) expect(span).toMatchObject({ traceId: TRACE, parentSpanId: SPAN, traceState: 'a=b' });
    else {
      expect(span.traceId).toMatch(/^[0-9a-f]{32}$/);
      expect(span.traceId).not.toBe(TRACE);
      expect(span).not.toHaveProperty('parentSpanId');
      expect(span).not.toHaveProperty('traceState');
    }
  }
});

it.each([
  ['none', { OTEL_TRACES_SAMPLER: 'always_off' }],
  ['none', { OTEL_SDK_DISABLED: 'true' }],
  ['none', { OTEL_TRACES_EXPORTER: 'none' }],
])('%s of the traces are sent with %j', async (_, env) => {
  const to = await collector();
  const world = await startWorld({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: to.url, ...env } });
  await fetch(`${world.url}/jwks`);
  await world.close();
  expect(to.requests).toEqual([]);
});

it('a collector that refuses is told of once, and holds nobody up', async () => {
  const to = await collector(503);
  const world = await startWorld({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: to.url } });
  for (let i = 0; i < 520; i++) expect((await fetch(`${world.url}/health/live`)).status).toBe(200);
  await world.close();
  expect(to.requests.length).toBeGreaterThan(1);
  expect(world.log.filter((line) => line.includes('traces cannot be sent'))).toHaveLength(1);
});

it('log lines of a request carry its trace_id', async () => {
  const to = await collector();
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-traces-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const port = await freePort();
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../../src/main.ts')], {
    env: {
      PATH: process.env['PATH'],
      PORT: String(port),
      PORTCULLIS_MANAGEMENT_PORT: '0',
      PORTCULLIS_DATA_DIR: folder,
      PORTCULLIS_TRUST_PROXY: '1',
      OTEL_EXPORTER_OTLP_ENDPOINT: to.url,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  const listening = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.includes('is listening on')) resolve();
    });
  });
  await listening;
  await fetch(`http://127.0.0.1:${port}/token`, {
    method: 'POST',
    headers: { traceparent, authorization: basicAuth('portcullis-admin', 'wrong') },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  child.kill('SIGTERM');
  await once(child, 'close');
  expect(printed).toMatch(
    new RegExp(`request refused.* trace_id=${TRACE}|trace_id=${TRACE}.*request refused`),
  );
  expect(to.spans().map(({ traceId }) => traceId)).toContain(TRACE);
});
