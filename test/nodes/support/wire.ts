/** The wire to a database, which a test can cut. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface Wire {
  /** The same database through the wire. */
  readonly url: string;
  /** Breaks every connection, and refuses new ones. */
  cut(): Promise<void>;
  /** Breaks every connection; new ones go through. */
  breakAll(): void;
  /** Nothing goes through any more, and nobody is told. */
  silence(): void;
  /** All is well again. */
  mend(): Promise<void>;
  close(): Promise<void>;
}

export async function openWire(databaseUrl: string): Promise<Wire> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let silent = false;
  const make = (): Server =>
    createServer((incoming) => {
      const outgoing = connect(Number(target.port || 5432), target.hostname);
      for (const [from, to] of [
        [incoming, outgoing],
        [outgoing, incoming],
      ] as const) {
        sockets.add(from);
        from.on('data', (data) => silent || to.write(data));
        from.on('error', () => {});
        from.on('close', () => {
          sockets.delete(from);
          to.destroy();
        });
      }
    });
  const open = (server: Server, port: number): Promise<number> =>
    new Promise((resolve) => {
      server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    });
  const breakAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  let server: Server | undefined = make();
  const port = await open(server, 0);
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String(port);
  const cut = async (): Promise<void> => {
    const closed = new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
    server = undefined;
    breakAll();
    await closed;
  };
  return {
    url: url.href,
    cut,
    breakAll,
    silence: () => void (silent = true),
    async mend() {
      if (silent) breakAll();
      silent = false;
      if (!server) await open((server = make()), port);
    },
    close: cut,
  };
}
