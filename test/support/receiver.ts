/** An endpoint of somebody else: it keeps what it was sent, and answers as it is told. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Receiver {
  /** `127.0.0.1:port`, as PORTCULLIS_FETCH_ALLOW takes it. */
  readonly host: string;
  readonly url: string;
  readonly received: Received[];
  /** Answers a request; by default 204. */
  answer: (request: Received, response: ServerResponse) => void;
  /** Resolves when so many requests have come, and been answered. */
  until(count: number): Promise<void>;
  close(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  let waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  let finished = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request;
      const seen = { method, path, headers, body: Buffer.concat(chunks).toString('utf8') };
      received.push(seen);
      response.on('close', () => {
        finished += 1;
        for (const { count, resolve } of waiting) if (finished >= count) resolve();
        waiting = waiting.filter(({ count }) => finished < count);
      });
      receiver.answer(seen, response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const receiver: Receiver = {
    host,
    url: `http://${host}/hook`,
    received,
    answer: (_request, response) => void response.writeHead(204).end(),
    until: (count) =>
      finished >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve })),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return receiver;
}
