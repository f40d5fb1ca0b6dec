/**
 * Several processes that serve one port: a primary, which takes connections and gives them to its workers in turn.
 * `start` decides who is which. A worker that ends is replaced, more slowly each time; all are stopped, or replaced
 * one by one, without a failed request. The primary serves the management port for all of them.
 */
import cluster, { type Worker } from 'node:cluster';
import { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Settings } from './config/schema.ts';
import type { Health } from './http/health.ts';
import { createHandover, type Seat } from './http/handover.ts';
import { closeNow, listenOn, type Listening } from './http/listen.ts';
import { createManagementServer } from './http/management.ts';
import { StartError } from './lib/errors.ts';
import { VERSION } from './lib/version.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';
import { mergeCounts, renderMerged, type Metrics } from './telemetry/metrics.ts';

/** A server that runs. */
export interface Serving {
  readonly port: number | undefined;
  readonly managementPort: number | undefined;
  readonly logger: Logger;
  stop(grace: number, replaced?: boolean): Promise<void>; // see `App.close`
  /** Replaces every process by a new one. */
  roll?(): Promise<void>;
}

/** A server in one process, with what the primary asks of it. */
export interface ServingAlone extends Serving {
  readonly metrics: Pick<Metrics, 'snapshot'>;
  readonly health: Pick<Health, 'checks'>;
  readonly take: Listening['take'];
}

type Checks = Record<string, boolean>;
type Question = 'metrics' | 'checks';
interface ToWorker {
  readonly ask?: { readonly id: number; readonly what: Question };
  readonly stop?: { readonly grace: number; readonly replaced: boolean };
  /** Id of the connection that comes with this message. */
  readonly take?: number;
}
interface ToPrimary {
  readonly serving?: true;
  /** Id of a connection that is the worker's now. */
  readonly took?: number;
  readonly answer?: { readonly id: number; readonly value: object };
  /** Why it could not start. */
  readonly failed?: string;
  /** What it has counted in its life. */
  readonly counted?: object;
}

interface Member {
  readonly worker: Worker;
  readonly ended: Promise<void>;
  /** While it serves. */
  seat?: Seat;
  stopping: boolean;
  failed?: string;
  counted?: object;
}

/** Milliseconds. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 15_000;
const STEADY = 60_000;
const ANSWER_TIME = 2_000;
const STOP_TIME = 15_000;
/** For one that neither serves nor ends. The first one of a release has no limit: it migrates the database. */
const START_TIME = 120_000;
/** From the last connection that is taken to the end of the grace of workers. */
const LAST_GIFTS = 250;
/** Milliseconds in which a process that is told to stop still takes requests, see `Listening.close`. */
export const GRACE = 2_000;

/**
 * Starts the workers; the first alone, for it may have a database to make.
 * @param elapsed milliseconds of a stopwatch
 * @throws StartError what kept the first one from starting
 */
export async function startWorkers(settings: Settings, elapsed: () => number): Promise<Serving> {
  const logger = createLogger({ environment: settings.environment });
  const members = new Set<Member>();
  const handover = createHandover();
  const questions = new Map<number, (value: object | undefined) => void>();
  let lastId = 0;
  let departed: Promise<object[]> = Promise.resolve([]);
  let stopping = false;
  let rolling = false;
  let crashes = 0;
  let lastCrash = -Infinity;

  /** Resolves when the new worker serves. @throws StartError when it ends before that */
  function launch(first = false): Promise<Member> {
    const worker = cluster.fork();
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const member: Member = { worker, ended, stopping: false };
    members.add(member);
    worker.on('error', (error) => logger.warn({ err: error }, 'a worker cannot be reached'));
    const late = first ? undefined : killIn(worker, START_TIME);
    return new Promise((resolve, reject) => {
      worker.on('message', ({ serving, took, answer, failed, counted }: ToPrimary) => {
        if (took !== undefined) member.seat?.took(took);
        if (answer) questions.get(answer.id)?.(answer.value);
        if (failed !== undefined) member.failed = failed;
        if (counted) member.counted = counted;
        if (!serving) return;
        clearTimeout(late);
        member.seat = handover.join((id, connection) => {
          // One that cannot be reached is about to end.
          worker.send({ take: id } satisfies ToWorker, connection, { keepOpen: true }, () => {});
        });
        logger.info({ event: 'worker.started', pid: worker.process.pid }, 'a worker serves');
        resolve(member);
      });
      worker.once('exit', (code, signal) => {
        clearTimeout(late);
        members.delete(member);
        member.seat?.gone();
        if (member.counted) depart(member.counted);
        if (!member.seat) {
          reject(new StartError(member.failed ?? `a worker ended before it served (${signal ?? code})`));
        } else if (!member.stopping && !stopping) {
          logger.error(
            { event: 'worker.ended', pid: worker.process.pid, exit_code: code, signal },
            'a worker ended by itself',
          );
          void replace();
        }
      });
    });
  }

  /** Starts a worker in the place of one that ended, as often as it takes. */
  async function replace(): Promise<void> {
    for (;;) {
      crashes = elapsed() - lastCrash > STEADY ? 0 : crashes + 1;
      lastCrash = elapsed();
      await pause(Math.min(FIRST_PAUSE * 2 ** crashes, LONGEST_PAUSE));
      if (stopping) return;
      try {
        return void (await launch());
      } catch (error) {
        logger.error({ event: 'worker.failed', err: error }, 'a worker did not start');
      }
    }
  }

  /** Counters must not fall when a process is replaced: what it has counted stays. */
  function depart(counted: object): void {
    departed = departed.then(async (before) => [await mergeCounts([...before, counted])]);
  }

  const tell = (member: Member, message: ToWorker): void => {
    if (member.worker.isConnected()) member.worker.send(message);
  };

  const killIn = (worker: Worker, time: number) => setTimeout(() => worker.process.kill('SIGKILL'), time);

  async function end(member: Member, grace: number, replaced: boolean): Promise<void> {
    member.stopping = true;
    if (replaced) member.seat?.leave();
    tell(member, { stop: { grace, replaced } });
    const limit = killIn(member.worker, grace + STOP_TIME);
    await member.ended.finally(() => clearTimeout(limit));
  }

  /** What the workers that answer in time answer. */
  async function ask<T extends object>(what: Question): Promise<[Member, T][]> {
    const answers = await Promise.all(
      [...members]
        .filter(({ seat }) => seat)
        .map(async (member) => {
          const id = ++lastId;
          const value = await new Promise<object | undefined>((resolve) => {
            questions.set(id, resolve);
            setTimeout(resolve, ANSWER_TIME, undefined).unref();
            void member.ended.then(() => resolve(undefined));
            tell(member, { ask: { id, what } });
          });
          questions.delete(id);
          return [member, value] as const;
        }),
    );
    return answers.flatMap(([member, value]) => (value ? [[member, value as T] as [Member, T]] : []));
  }

  let port: number | undefined;
  const management = createManagementServer({
    version: VERSION,
    metrics: {
      async render() {
        const answers = await ask<object>('metrics');
        for (const [member, snapshot] of answers) member.counted = snapshot;
        return renderMerged([...(await departed), ...answers.map(([, snapshot]) => snapshot)]);
      },
    },
    health: {
      async checks() {
        const answers = await ask<Checks>('checks');
        const all: Checks = { workers: answers.length > 0 && port !== undefined };
        for (const [, checks] of answers) {
          for (const [name, good] of Object.entries(checks)) all[name] = good && all[name] !== false;
        }
        return { ...all, not_draining: !stopping };
      },
    },
  });
  const managementPort = await listenOn(management, settings.managementPort, settings.managementHost);
  try {
    await launch(true);
    port = await handover.listen(settings.port, settings.host);
  } catch (error) {
    stopping = true;
    await Promise.all([...members].map((member) => end(member, 0, false)));
    await closeNow(management);
    throw error;
  }
  for (let more = 1; more < settings.workers; more++) {
    launch().catch((error: unknown) => {
      logger.error({ event: 'worker.failed', err: error }, 'a worker did not start');
      void replace();
    });
  }

  return {
    port,
    managementPort,
    logger,
    async stop(grace) {
      stopping = true;
      const ended = Promise.all([...members].map((member) => end(member, grace + LAST_GIFTS, false)));
      await pause(grace);
      handover.stop();
      await ended;
      handover.close();
      await closeNow(management);
    },
    async roll() {
      if (rolling || stopping) return;
      rolling = true;
      logger.info({ event: 'workers.restarting' }, 'the workers are replaced one by one');
      try {
        for (const [index, old] of [...members].filter(({ seat }) => seat).entries()) {
          if (stopping) return;
          await launch(index === 0); // of a new release: it migrates
          await end(old, GRACE, true);
        }
        logger.info({ event: 'workers.restarted' }, 'all workers are new');
      } catch (error) {
        logger.error({ event: 'worker.failed', err: error }, 'a new worker did not start: the others stay');
      } finally {
        rolling = false;
      }
    },
  };
}

/** What a worker does: serves, answers the primary, and ends when it is told to. */
export async function runWorker(serve: () => Promise<ServingAlone>): Promise<void> {
  const tell = (message: ToPrimary): Promise<void> =>
    new Promise((resolve) => {
      if (!process.connected) resolve();
      else process.send?.(message, () => resolve());
    });
  const serving = await serve().catch(async (error: unknown) => {
    if (!(error instanceof StartError)) throw error;
    await tell({ failed: error.message });
    return process.exit(1);
  });
  const { metrics, health, logger, take } = serving;
  let ending = false;
  const end = async (grace: number, replaced: boolean): Promise<void> => {
    if (ending) return;
    ending = true;
    try {
      await serving.stop(grace, replaced);
    } catch (error) {
      logger.error({ err: error }, 'did not stop cleanly');
      process.exit(1);
    }
    await tell({ counted: await metrics.snapshot() });
    process.exit(0); // a connection that is on its way here goes to another worker
  };
  process.on('message', ({ ask, stop, take: id }: ToWorker, connection: unknown) => {
    if (id !== undefined) {
      void tell({ took: id });
      if (connection instanceof Socket) take(connection); // none when the client has gone meanwhile
    }
    if (stop) void end(stop.grace, stop.replaced);
    if (!ask) return;
    const answer: Promise<object> = ask.what === 'metrics' ? metrics.snapshot() : health.checks();
    void answer.then((value) => tell({ answer: { id: ask.id, value } }));
  });
  // A terminal and a service manager send their signals to workers too: the primary says what is to be done.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {});
  await tell({ serving: true });
}
