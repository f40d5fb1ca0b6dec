import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHandover, type Handover } from '../../src/http/handover.ts';
import { until } from './support/processes.ts';

describe('connections of one port and several processes', () => {
  let handover: Handover;
  let port: number;
  let clients: Socket[];
  beforeEach(async () => {
    clients = [];
    handover = createHandover();
    port = await handover.listen(0, '127.0.0.1');
  });
  afterEach(() => {
    handover.stop();
    handover.close();
    for (const client of clients) client.destroy();
  });
  const come = async (): Promise<Socket> => {
    const client = connect(port, '127.0.0.1').on('error', () => {});
    clients.push(client);
    await once(client, 'connect');
    return client;
  };
  /** A process: what it was given, by id. */
  const join = () => {
    const given = new Map<number, Socket>();
    return { given, seat: handover.join((id, connection) => given.set(id, connection)) };
  };

  it('are given in turn, to the one with the least waiting', async () => {
    const [a, b] = [join(), join()];
    for (let made = 1; made <= 4; made++) {
      await come();
      await until('given', () => a.given.size + b.given.size === made);
    }
    expect([a.given.size, b.given.size]).toEqual([2, 2]);
    for (const id of a.given.keys()) a.seat.took(id);
    for (let made = 5; made <= 6; made++) {
      await come();
      await until('given', () => a.given.size + b.given.size === made);
    }
    expect([a.given.size, b.given.size]).toEqual([4, 2]);
  });

  it('go to another when the process ends before it has taken them, and wait while there is none', async () => {
    const a = join();
    const client = await come();
    await until('given', () => a.given.size === 1);
    a.seat.gone();
    await come();
    const b = join();
    await until('given again', () => b.given.size === 2);
    for (const connection of b.given.values()) connection.end('hello');
    const [greeting] = (await once(client, 'data')) as [Buffer];
    expect(greeting.toString()).toBe('hello');
  });

  it('are not given to one that leaves; what waits in the end is closed', async () => {
    const a = join();
    a.seat.leave();
    const closed = once(await come(), 'close');
    await come();
    handover.stop();
    handover.close();
    await closed;
    expect(a.given.size).toBe(0);
  });
});
