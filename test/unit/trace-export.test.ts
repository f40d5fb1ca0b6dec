import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { createSpanExporter, type Span } from '../../src/telemetry/trace-export.ts';

const span = (name: string): Span => ({
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
  name,
  kind: 'server',
  start: 1,
  end: 2,
  attributes: {},
  failed: false,
});

interface Export {
  readonly resourceSpans: { readonly scopeSpans: { readonly spans: unknown[] }[] }[];
}

describe('traces on their way to a collector', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  /** A collector that reads and never answers. */
  async function hanging(): Promise<{ endpoint: string; batches: number[] }> {
    const batches: number[] = [];
    server = createServer((req) => {
      void json(req).then((body) =>
        batches.push((body as Export).resourceSpans[0]?.scopeSpans[0]?.spans.length ?? 0),
      );
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    return { endpoint: `http://127.0.0.1:${port}/v1/traces`, batches };
  }

  it('one batch at a time: what a slow collector does not take is dropped, and a stop does not wait for it', async () => {
    const { endpoint, batches } = await hanging();
    const exporter = createSpanExporter({ endpoint, headers: {}, resource: {} }, () => {});
    for (let i = 0; i < 20_000; i++) exporter.add(span('x'));
    await exporter.close();
    expect(batches.toSorted((a, b) => a - b)).toEqual([512, 2_048]);
  });

  it('what is logged of a failure holds no credential', async () => {
    const errors: unknown[] = [];
    const settings = {
      endpoint: 'http://127.0.0.1:1/v1/traces',
      headers: { authorization: 'Bearer s3cret\nx' },
      resource: {},
    };
    const exporter = createSpanExporter(settings, (error) => errors.push(error));
    exporter.add(span('x'));
    await exporter.close();
    expect(errors).toHaveLength(1);
    expect(String((errors[0] as Error).stack)).not.toContain('s3cret');
  });
});
