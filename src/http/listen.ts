/** Opens the ports and closes them: the public one for everybody, the management one for operators. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { randomId } from '../lib/ids.ts';
import type { Settings } from '../config/schema.ts';

/** Milliseconds. Slower than any proxy in front keeps an idle connection, so that the proxy closes first. */
const KEEP_ALIVE_MS = 75_000;
const HEADERS_MS = 20_000;
const REQUEST_MS = 30_000;
/** Milliseconds that requests in flight get once no connection is taken any more. */
const LAST_REQUESTS_MS = 7_000;
const LOOK_MS = 50;
/** Looks without anybody there, after which nobody is waited for: half a second. */
const QUIET_LOOKS = 10;

/** What cannot even be parsed as a request is answered without the rest of the server. */
const CLIENT_ERRORS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** A server that takes requests. */
export interface Listening {
  /** Both are undefined when another process holds the ports. */
  readonly port: number | undefined;
  readonly managementPort: number | undefined;
  /** Serves a connection that another process has taken. */
  take(connection: Socket): void;
  /**
   * Resolves when the requests in flight are answered.
   * @param grace milliseconds in which requests are still taken, each answer being its connection's last: a client
   * that keeps connections open learns to leave before one is cut under its next request. With ports of its own it
   * ends early when nobody comes for a while.
   */
  close(grace?: number): Promise<void>;
}

/** Resolves to the port. */
export const listenOn = (server: NetServer, port: number, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });

/** Resolves when `done` is true, after `limit` milliseconds at the latest. */
const waitFor = (done: () => boolean, limit: number): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      clearInterval(look);
      clearTimeout(timer);
      resolve();
    };
    const look = setInterval(() => done() && end(), LOOK_MS);
    const timer = setTimeout(end, limit);
  });

/** Closes a server whose requests are short. */
export const closeNow = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });

/**
 * Opens both ports; neither stays open when one of them cannot be.
 * @param management undefined: another process holds the ports, and gives connections
 */
export async function listen(
  settings: Pick<Settings, 'port' | 'host' | 'managementPort' | 'managementHost'>,
  handle: RequestListener,
  management: Server | undefined,
): Promise<Listening> {
  const open = new Set<Socket>();
  let closing = false;
  let came = 0;
  const server = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS },
    (req, res) => {
      if (closing) res.shouldKeepAlive = false;
      handle(req, res);
    },
  );
  server.on('clientError', (error: Error & { code?: string }, connection: Socket) => {
    if (!connection.writable || error.code === 'ECONNRESET') return void connection.destroy();
    const status = CLIENT_ERRORS[error.code ?? ''] ?? '400 Bad Request';
    connection.end(
      `HTTP/1.1 ${status}\r\nconnection: close\r\nx-request-id: ${randomId(12)}\r\ncontent-length: 0\r\n\r\n`,
    );
    return undefined;
  });
  server.on('connection', (connection: Socket) => {
    came++;
    open.add(connection);
    connection.once('close', () => open.delete(connection));
  });
  const nobody = (): boolean => open.size === 0;
  /** A moment without anybody may lie between two connections of one client. */
  const quiet = (): (() => boolean) => {
    let [looks, seen] = [0, came];
    return () => {
      looks = nobody() && came === seen ? looks + 1 : 0;
      seen = came;
      return server.listening && looks >= QUIET_LOOKS;
    };
  };
  const close = async (grace = 0): Promise<void> => {
    closing = true;
    if (grace > 0) await waitFor(quiet(), grace);
    server.close();
    // A connection whose request was in flight is kept alive after its answer: it is idle later.
    await waitFor(() => {
      server.closeIdleConnections();
      return nobody();
    }, LAST_REQUESTS_MS);
    server.closeAllConnections();
    if (management?.listening) await closeNow(management);
  };
  let [port, managementPort]: (number | undefined)[] = [];
  if (management) {
    port = await listenOn(server, settings.port, settings.host);
    try {
      managementPort = await listenOn(management, settings.managementPort, settings.managementHost);
    } catch (error) {
      await close();
      throw error;
    }
  }
  return {
    port,
    managementPort,
    take(connection) {
      connection.setNoDelay(true); // as a server does for those that it takes itself
      server.emit('connection', connection);
    },
    close,
  };
}
