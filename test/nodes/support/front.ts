/** A balancer: each request goes to the next node. */
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Node } from './processes.ts';

export interface Front {
  readonly url: string;
  /** Where requests go from now on. */
  readonly nodes: Node[];
  close(): Promise<void>;
}

export async function openFront(): Promise<Front> {
  const agent = new Agent({ keepAlive: true });
  const nodes: Node[] = [];
  let turn = 0;
  const server = createServer((incoming, outgoing) => {
    const node = nodes[turn++ % nodes.length];
    const passed = request(
      new URL(incoming.url ?? '/', node?.url),
      { agent, method: incoming.method, headers: incoming.headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    passed.on('error', () => outgoing.destroy());
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    nodes,
    async close() {
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
