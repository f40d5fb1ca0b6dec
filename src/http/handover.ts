/**
 * Takes the connections of one port and hands each to a process that serves it: the one with the least waiting, in
 * turn. A connection stays open here until its process says that it has it; those of a process that ends before that
 * go to another.
 * Trap (Node's own balancing, `internal/cluster/round_robin_handle.js`): there a connection on its way to a worker that
 * dies is never served and never closed.
 */
import { createServer, type Socket } from 'node:net';
import { listenOn } from './listen.ts';

/** Sends a connection, and the id to confirm it by, to a process. */
export type Give = (id: number, connection: Socket) => void;

/** A process's place among those that serve. */
export interface Seat {
  /** The process has this connection. */
  took(id: number): void;
  /** It is given no more. */
  leave(): void;
  /** It is gone: what it had not taken goes to others. */
  gone(): void;
}

export interface Handover {
  /** @returns the port */
  listen(port: number, host: string): Promise<number>;
  /** A process serves from now on. Connections wait while there is none. */
  join(give: Give): Seat;
  /** Takes no new connection. */
  stop(): void;
  /** Closes what still waits, and what comes still. */
  close(): void;
}

interface Place {
  readonly give: Give;
  /** Given, and not yet taken. */
  readonly given: Map<number, Socket>;
}

export function createHandover(): Handover {
  const places = new Set<Place>(); // the next in turn comes first
  const waiting: Socket[] = [];
  let lastId = 0;
  let closed = false;
  const server = createServer({ pauseOnConnect: true }, (connection) => {
    connection.on('error', () => {}); // whoever serves it sees it too
    handOut([connection]);
  });

  function handOut(connections: Iterable<Socket>): void {
    for (const connection of connections) {
      const next = [...places].reduce<Place | undefined>(
        (best, place) => (best && best.given.size <= place.given.size ? best : place),
        undefined,
      );
      if (!next) {
        if (closed) connection.destroy();
        else waiting.push(connection);
        continue;
      }
      places.delete(next);
      places.add(next);
      next.given.set(++lastId, connection);
      next.give(lastId, connection);
    }
  }

  return {
    listen: (port, host) => listenOn(server, port, host),
    join(give) {
      const place: Place = { give, given: new Map() };
      places.add(place);
      handOut(waiting.splice(0));
      return {
        took(id) {
          place.given.get(id)?.destroy(); // ours; the process has its own
          place.given.delete(id);
        },
        leave: () => void places.delete(place),
        gone() {
          places.delete(place);
          const left = [...place.given.values()];
          place.given.clear();
          handOut(left);
        },
      };
    },
    stop: () => void server.close(),
    close() {
      closed = true;
      for (const connection of waiting.splice(0)) connection.destroy();
    },
  };
}
