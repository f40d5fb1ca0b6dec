/** Faults at one step of a request, or from one step on. */
import { unavailable, type TappedDatabase } from './tapped-database.ts';

/** What the node looks at by itself between requests, and what it keeps in memory for a while: not a request's steps. */
const isOwn = (step: string): boolean => step === 'changes.read' || step.startsWith('prisma ');

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

/** Every row of the tables that a token request may write, as text. */
export async function contentOf(
  read: <Row>(name: string, text: string) => Promise<Row[]>,
  tables = ['families', 'artifacts', 'audit_events', 'denied_tokens', 'consents', 'sessions'],
): Promise<string> {
  const rows = await Promise.all(
    tables.map((table) => read<Record<string, unknown>>(`test.content.${table}`, `SELECT * FROM ${table}`)),
  );
  const text = (value: unknown): unknown =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
  return tables
    .map((table, index) => {
      const lines = (rows[index] ?? []).map((row) =>
        JSON.stringify(Object.entries(row).map(([name, value]) => [name, text(value)])),
      );
      return [table, ...lines.toSorted()].join('\n');
    })
    .join('\n\n');
}
