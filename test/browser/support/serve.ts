/** Serves every state of every page, `/{locale}/{state}`, under the strictest policy that the pages promise to work with. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ViewContext, Views } from '../../../src/http/views.ts';
import { states } from './states.ts';

const POLICY =
  "default-src 'none'; style-src 'self'; img-src 'self' https: data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

export const contextOf = (locale: string): ViewContext => ({
  locale,
  requestId: '01JAZ5N9GQ3C7K',
  basePath: '',
});

/** Listens on loopback; `url` has no slash at its end. */
export async function serveStates(views: Views): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const [, first = '', second = ''] = (request.url ?? '').split('/');
    const state = states[second];
    const asset = first === 'assets' ? views.asset(second) : undefined;
    // A form that is sent leaves the browser where it is.
    if (request.method === 'POST') response.writeHead(204).end();
    else if (asset) {
      // As the server does: named by content.
      response
        .writeHead(200, { 'content-type': asset.type, 'cache-control': 'max-age=31536000, immutable' })
        .end(asset.body);
    } else if (state) {
      const policy = 'passkey' in state && state.passkey ? `${POLICY}; script-src 'self'` : POLICY;
      response
        .writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy })
        .end(views.render(state, contextOf(first)));
    } else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
