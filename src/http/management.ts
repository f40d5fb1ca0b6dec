/** The management port: metrics and health with detail, for operators only. */
import { createServer, type Server } from 'node:http';
import { METRICS_CONTENT_TYPE, type Metrics } from '../telemetry/metrics.ts';
import type { Health } from './health.ts';

export interface ManagementDependencies {
  readonly metrics: Pick<Metrics, 'render'>;
  readonly health: Pick<Health, 'checks'>;
  readonly version: string;
}

/** A server for `/metrics`, `/health/live` and `/health/ready`; GET and HEAD only. */
export function createManagementServer({ metrics, health, version }: ManagementDependencies): Server {
  const answer = async (path: string): Promise<{ status: number; type: string; body: string }> => {
    if (path === '/metrics') return { status: 200, type: METRICS_CONTENT_TYPE, body: await metrics.render() };
    const json = (status: number, body: object) => ({
      status,
      type: 'application/json',
      body: `${JSON.stringify(body)}\n`,
    });
    if (path === '/health/live') return json(200, { status: 'ok', version });
    if (path === '/health/ready') {
      const checks = await health.checks();
      const ready = Object.values(checks).every(Boolean);
      return json(ready ? 200 : 503, { status: ready ? 'ok' : 'unavailable', version, checks });
    }
    return json(404, { error: 'not_found' });
  };
  return createServer((req, res) => {
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      res.writeHead(405, { allow: 'GET, HEAD' }).end();
      return;
    }
    answer(new URL(req.url ?? '/', 'http://management').pathname).then(
      ({ status, type, body }) => {
        res.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
        res.end(req.method === 'HEAD' ? undefined : body);
      },
      () => res.writeHead(500).end(),
    );
  });
}
