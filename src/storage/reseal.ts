/**
 * Moves to another secret key, and to a new sealing key, while servers are running. Safe to interrupt and to begin
 * again, and safe when two do it at once: every write is conditional.
 */
import type { Clock } from '../lib/clock.ts';
import { SealError, sealedUnder } from '../lib/crypto.ts';
import { randomId } from '../lib/ids.ts';
import type { Change, Changes } from './changes.ts';
import { addDataKey, rewrap, unwrapDataKeys, wrappingKey, type DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';
import { sealedColumns, type SealedColumn } from './sealed-columns.ts';

/** What it works on. */
export interface ResealDependencies {
  readonly database: Database;
  readonly changes: Changes;
  readonly dataKeys: DataKeys;
  /** The first wraps from now on, all unwrap. */
  readonly secretKeys: readonly Buffer[];
  readonly clock: Clock;
  /** Resolves when every server has noticed what has changed in the database. */
  readonly everyServerKnows: () => Promise<void>;
  /** Lets servers write for so many milliseconds. */
  readonly rest: (milliseconds: number) => Promise<void>;
}

/** What was done. */
export interface Resealed {
  /** Fingerprint of the secret key that wraps all data keys now. */
  readonly secretKey: string;
  /** Id of the key that seals now. */
  readonly sealingKey: string;
  /** Values sealed anew. */
  readonly resealed: number;
  /** Values that no key opens: damaged before. */
  readonly unreadable: number;
}

const BATCH = 50;

/**
 * Wraps every data key under the first secret key, brings in a new sealing key, and seals long-lived rows with it.
 * Afterwards the other secret keys open nothing that is in the database.
 * @throws StartError when a secret key that wraps is missing
 */
export async function reseal(dependencies: ResealDependencies): Promise<Resealed> {
  const { changes, dataKeys, secretKeys, everyServerKnows } = dependencies;
  const sealingKey = await changes.raw((change) => prepare(change, dependencies));
  await everyServerKnows(); // all can open what it seals before any seals with it
  await changes.raw((change) => activate(change, sealingKey));
  await dataKeys.reload();
  await everyServerKnows(); // none seals with the old one any more
  let [resealed, unreadable] = [0, 0];
  for (const column of sealedColumns) {
    const counts = await resealColumn(column, dependencies);
    resealed += counts.resealed;
    unreadable += counts.unreadable;
  }
  return { secretKey: wrappingKey(secretKeys).id, sealingKey, resealed, unreadable };
}

/** @returns the id of a pending sealing key; that of a run that was interrupted, if there is one */
async function prepare(
  { tx, bump }: Change,
  { secretKeys, clock }: Pick<ResealDependencies, 'secretKeys' | 'clock'>,
): Promise<string> {
  await bump('data-keys'); // locks the counter's row: one at a time
  const wrapping = wrappingKey(secretKeys);
  const keys = await unwrapDataKeys(tx, secretKeys);
  for (const key of keys) if (key.wrappedBy !== wrapping.id) await rewrap(tx, wrapping, key);
  const pending = keys.find(({ purpose, status }) => purpose === 'seal' && status === 'pending');
  if (pending) return pending.id;
  const id = randomId(6);
  await addDataKey(tx, wrapping, { id, purpose: 'seal', status: 'pending' }, clock.now());
  return id;
}

async function activate({ tx, bump }: Change, id: string): Promise<void> {
  await bump('data-keys');
  await tx.write(
    'data-keys.activate',
    `UPDATE data_keys SET status = CASE WHEN id = $1 THEN 'active' ELSE 'old' END
     WHERE purpose = 'seal' AND (status = 'active' OR id = $1)`,
    [id],
  );
}

interface Row {
  readonly key: string;
  readonly sealed: Uint8Array;
}

async function resealColumn(
  { table, key, column, context }: SealedColumn,
  { database, dataKeys, rest }: ResealDependencies,
): Promise<Pick<Resealed, 'resealed' | 'unreadable'>> {
  const { sql } = database;
  const name = `reseal.${table}.${column}`;
  const SELECT = `SELECT ${key} AS key, ${column} AS sealed FROM ${table}
    WHERE ${key} > $1 AND ${column} IS NOT NULL ORDER BY ${key} LIMIT ${BATCH}`;
  // What was rewritten since it was read is under the new key already, and is not overwritten.
  const UPDATE = `UPDATE ${table} SET ${column} = $1 WHERE ${key} = $2 AND ${column} = $3`;
  let [resealed, unreadable] = [0, 0];

  async function one({ key: id, sealed }: Row): Promise<void> {
    // A retired signing key is empty.
    if (sealed.length === 0 || sealedUnder(sealed) === dataKeys.sealingKey) return;
    try {
      const opened = await dataKeys.open(sealed, context(id));
      const again = dataKeys.seal(opened, context(id));
      const { count } = await sql.write(`${name}.write`, UPDATE, [again, id, sealed]);
      resealed += count;
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      unreadable += 1;
    }
  }

  let after = '';
  for (;;) {
    const started = performance.now();
    const rows = await sql.read<Row>(`${name}.read`, SELECT, [after]);
    await Promise.all(rows.map(one));
    after = rows.at(-1)?.key ?? after;
    if (rows.length < BATCH) return { resealed, unreadable };
    await rest(performance.now() - started); // half of the time is the servers'
  }
}
