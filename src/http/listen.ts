/** Opens the ports and closes them: the public one for everybody, the management one for operators. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Settings } from '../config/schema.ts';

/** Milliseconds. Slower than any proxy in front keeps an idle connection, so that the proxy closes first. */
const KEEP_ALIVE_MS = 75_000;
const HEADERS_MS = 20_000;
const REQUEST_MS = 30_000;
/** Milliseconds that requests in flight get once no connection is taken any more. */
const LAST_REQUESTS_MS = 7_000;
const LOOK_MS = 50;

/** Ports that are open. */
export interface Listening {
  readonly port: number;
  /** Undefined when another process serves it. */
  readonly managementPort: number | undefined;
  /**
   * Resolves when the requests in flight are answered.
   * @param grace milliseconds in which requests are still taken, each answer being its connection's last: a client
   * that keeps connections open learns to leave before one is cut under its next request. Ends early when none is open.
   */
  close(grace?: number): Promise<void>;
}

/** Resolves to the port. */
export const listenOn = (server: Server, port: number, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });

/** Takes no new connection, and resolves when the requests in flight are answered, or had their time. */
export const closeServer = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    // A connection whose request was in flight is kept alive after its answer: it is idle later.
    const idle = setInterval(() => server.closeIdleConnections(), LOOK_MS);
    const limit = setTimeout(() => server.closeAllConnections(), LAST_REQUESTS_MS);
    server.close(() => {
      clearInterval(idle);
      clearTimeout(limit);
      resolve();
    });
  });

/** Resolves when no connection is open, after `grace` milliseconds at the latest. */
const quiet = (server: Server, grace: number): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      clearInterval(look);
      clearTimeout(limit);
      resolve();
    };
    const look = setInterval(
      () => server.getConnections((error, open) => (error || open === 0 ? end() : undefined)),
      LOOK_MS,
    );
    const limit = setTimeout(end, grace);
  });

/**
 * Opens both ports; neither stays open when one of them cannot be.
 * @param management undefined: another process serves the management port
 */
export async function listen(
  settings: Pick<Settings, 'port' | 'host' | 'managementPort' | 'managementHost'>,
  handle: RequestListener,
  management: Server | undefined,
): Promise<Listening> {
  let closing = false;
  const server = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS },
    (req, res) => {
      if (closing) res.shouldKeepAlive = false;
      handle(req, res);
    },
  );
  const port = await listenOn(server, settings.port, settings.host);
  let managementPort: number | undefined;
  try {
    managementPort =
      management && (await listenOn(management, settings.managementPort, settings.managementHost));
  } catch (error) {
    await closeServer(server);
    throw error;
  }
  return {
    port,
    managementPort,
    async close(grace = 0) {
      closing = true;
      if (grace > 0) await quiet(server, grace);
      await Promise.all([closeServer(server), management && closeServer(management)]);
    },
  };
}
