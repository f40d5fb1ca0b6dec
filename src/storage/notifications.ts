/**
 * Tells other nodes of a change at once, where the database can (PostgreSQL's LISTEN and NOTIFY). Only a hint to look:
 * nodes poll the change counters anyway, so nothing is lost where notifications are (a distributed engine, a pooler
 * between, a connection that just broke). Sent after the commit, apart from it: a transaction that notifies would
 * fail where NOTIFY is not known, and serialises its commit with all others where it is.
 */
import { setTimeout as pauseFor } from 'node:timers/promises';
import pg from 'pg';
import type { Database } from './database.ts';

export interface Notifications {
  /** Tells every node, this one too; never throws. */
  send(): void;
  /** Stops listening. */
  close(): Promise<void>;
}

export interface NotificationOptions {
  /** Of the same database. */
  readonly url: string;
  /** Something may have changed. Called too when the connection is there again: what was sent meanwhile is lost. */
  readonly onNotice: () => void;
  /** This database has no notifications: polling alone has to do. */
  readonly onUnsupported: (reason: string) => void;
}

const CHANNEL = 'portcullis_changes';
/** Milliseconds. */
const CONNECT_TIMEOUT = 5_000;
const CLOSE_TIME = 1_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;

/** SQLSTATE: not supported, not known, or not allowed. */
const isUnsupported = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && /^(0A|42)/.test(error.code ?? '');

const SILENT: Notifications = { send: () => {}, close: () => Promise.resolve() };

/** Listens on a connection of its own, which is opened again whenever it breaks. Does nothing on SQLite. */
export function openNotifications({ kind, sql }: Database, options: NotificationOptions): Notifications {
  if (kind === 'sqlite') return SILENT;
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let pause = FIRST_PAUSE;
  let ended = false;

  const giveUp = (error: unknown): void => {
    if (ended) return;
    ended = true;
    options.onUnsupported(error instanceof Error ? error.message : String(error));
  };

  async function listen(): Promise<void> {
    const opened = new pg.Client({
      connectionString: options.url,
      application_name: 'portcullis notifications',
      connectionTimeoutMillis: CONNECT_TIMEOUT,
      keepAlive: true,
    });
    client = opened;
    let broken = false;
    const again = (): void => {
      if (broken) return; // an error is followed by the end
      broken = true;
      opened.end().catch(() => {});
      if (ended) return;
      timer = setTimeout(() => void listen(), pause).unref();
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    };
    opened.on('error', again);
    opened.on('end', again);
    opened.on('notification', options.onNotice);
    try {
      await opened.connect();
      await opened.query(`LISTEN ${CHANNEL}`);
      pause = FIRST_PAUSE;
      options.onNotice();
    } catch (error) {
      if (isUnsupported(error)) giveUp(error);
      again();
    }
  }

  void listen();
  return {
    send() {
      if (ended) return;
      sql.read('notifications.send', `SELECT pg_notify('${CHANNEL}', '')`).catch((error: unknown) => {
        if (isUnsupported(error)) giveUp(error);
      });
    },
    async close() {
      ended = true;
      clearTimeout(timer);
      // A server that is out of reach does not say goodbye.
      await Promise.race([client?.end().catch(() => {}), pauseFor(CLOSE_TIME)]);
    },
  };
}
