/** Opens the ports and closes them: the public one for everybody, the management one for operators. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Settings } from '../config/schema.ts';

/** Milliseconds. Slower than any proxy in front keeps an idle connection, so that the proxy closes first. */
const KEEP_ALIVE_MS = 75_000;
const HEADERS_MS = 20_000;
const REQUEST_MS = 30_000;

/** Ports that are open. */
export interface Listening {
  readonly port: number;
  readonly managementPort: number;
  /** Takes no new connection, and resolves when the requests in flight are answered. */
  close(): Promise<void>;
}

const listenOn = (server: Server, port: number, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });

const closed = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });

/** Opens both ports; neither stays open when one of them cannot be. */
export async function listen(
  settings: Pick<Settings, 'port' | 'host' | 'managementPort' | 'managementHost'>,
  handle: RequestListener,
  management: Server,
): Promise<Listening> {
  const server = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS },
    handle,
  );
  const port = await listenOn(server, settings.port, settings.host);
  let managementPort: number;
  try {
    managementPort = await listenOn(management, settings.managementPort, settings.managementHost);
  } catch (error) {
    await closed(server);
    throw error;
  }
  return {
    port,
    managementPort,
    async close() {
      await Promise.all([closed(server), closed(management)]);
    },
  };
}
