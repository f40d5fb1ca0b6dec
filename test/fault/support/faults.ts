/** Faults at one step of a request, or from one step on. */
import { unavailable, type TappedDatabase } from './tapped-database.ts';

/** What the node keeps in memory for a while is no step of each request. */
const isOwn = (step: string): boolean => step.startsWith('prisma ');

export interface Fault {
  /** Which step of the request, from 0. */
  readonly step: number;
  /** `before` it is done, or `after`: done, but its answer is lost. */
  readonly when: 'before' | 'after';
  /** The database stays away from there on. */
  readonly lasting?: boolean;
  readonly error?: () => Error;
}

/** The steps that a request takes when nothing fails. */
export async function stepsOf(tapped: TappedDatabase, work: () => Promise<unknown>): Promise<string[]> {
  return (await tapped.steps(work)).filter((step) => !isOwn(step));
}

/** Runs `work` while the database fails as asked. */
export async function withFault<T>(
  tapped: TappedDatabase,
  { step: at, when, lasting = false, error = unavailable }: Fault,
  work: () => Promise<T>,
): Promise<T> {
  let current = -1;
  tapped.tap = {
    before(step) {
      if (isOwn(step)) return;
      current++;
      if ((when === 'before' && current === at) || (lasting && current > at)) throw error();
    },
    after(step) {
      if (!isOwn(step) && when === 'after' && current === at) throw error();
    },
  };
  try {
    return await work();
  } finally {
    tapped.tap = {};
  }
}

/** Where a row that is about to expire says so: the server takes such rows away by itself. */
const TABLES = {
  families: 'ends_at',
  artifacts: 'expires_at',
  denied_tokens: 'expires_at',
  sessions: 'expires_at',
  consents: undefined,
  audit_events: undefined,
} as const;

/**
 * Every row that a token request may write, as text.
 * @param until epoch milliseconds: rows that live as long
 */
export async function contentOf(
  read: <Row>(name: string, text: string) => Promise<Row[]>,
  until: number,
): Promise<string> {
  const text = (value: unknown): unknown =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
  const tables = Object.entries(TABLES).map(async ([table, expiry]) => {
    const rows = await read<Record<string, unknown>>(`test.content.${table}`, `SELECT * FROM ${table}`);
    const lines = rows
      .filter((row) => expiry === undefined || Number(row[expiry]) > until)
      .map(({ check_at: _, ...row }) =>
        JSON.stringify(Object.entries(row).map(([name, value]) => [name, text(value)])),
      );
    return [table, ...lines.toSorted()].join('\n');
  });
  return (await Promise.all(tables)).join('\n\n');
}
