/** What a budget adds to the bare engine, each part measured by itself: CPU µs, the database server's included. */
import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { systemClock } from '../src/lib/clock.ts';
import { ALIVE, ALIVE_JOINS, aliveParam } from '../src/storage/alive.ts';
import { openDatabase, type Database } from '../src/storage/database.ts';
import { userColumns } from '../src/storage/user-record.ts';
import { measureCpu } from './cpu.ts';

const LANES = 8;

/** Names of the parts. */
export const PARTS = ['one ES256 verification', 'the family read alone', 'the durable write alone'] as const;
const [ES256, READ, WRITE] = PARTS;

/** CPU µs of this process and of the database server for each of `count` runs, eight at a time. */
async function cost(
  pids: readonly number[],
  count: number,
  work: (lane: number) => unknown,
): Promise<number> {
  const database = measureCpu(pids);
  const before = process.cpuUsage();
  let left = count;
  const lane = async (index: number): Promise<void> => {
    while (left-- > 0) await work(index);
  };
  await Promise.all(Array.from({ length: LANES }, (_, index) => lane(index)));
  const { user, system } = process.cpuUsage(before);
  return (user + system + database()) / count;
}

/** A part of a budget. */
export interface Part {
  readonly name: string;
  /** Where it depends on it. */
  readonly kind?: Database['kind'];
  /** CPU µs for each of `count`. */
  measure(count: number): Promise<number>;
  readonly samples: number[];
}

/** One verification of the signature of an access token. */
export function es256Verification(): Part {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const data = randomBytes(500);
  const signature = sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return {
    name: ES256,
    samples: [],
    measure: (count) =>
      cost([], count, () => {
        const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const;
        if (!verify('sha256', data, key, signature)) throw new Error('not verified');
      }),
  };
}

interface Chain {
  readonly id: string;
  current: Buffer;
  readonly payload: Buffer;
}

/**
 * The read of a family with what it hangs on, and the write of a rotation, as `storage/families.ts` sends them, on the
 * newest families of the database: their tokens are lost.
 * @param pids of the database server
 */
export async function familyStatements(
  url: string,
  pids: readonly number[],
): Promise<{ read: Part; write: Part; close(): Promise<void> }> {
  const { sql, nowMs, kind, close } = await openDatabase({ url, busyTimeout: 60_000 });
  const chains = await sql.read<Chain>(
    'alone.chains',
    'SELECT id, current, token_payload AS payload FROM families ORDER BY created_at DESC LIMIT $1',
    [LANES],
  );
  const chain = (lane: number): Chain => {
    const found = chains[lane];
    if (!found) throw new Error(`fewer than ${LANES} families`);
    return found;
  };
  const SELECT = `SELECT f.*, ${nowMs} - f.rotated_at AS since, ${userColumns('u')},
      CASE WHEN ${ALIVE} THEN 1 ELSE 0 END AS alive
    FROM families f ${ALIVE_JOINS} WHERE f.id = $1`;
  const ROTATE = `UPDATE families SET previous = current, current = $3, successor = $4, token_payload = $5,
      rotated_at = ${nowMs}, used_at = $6, idle_ends_at = $7,
      access_ends_at = CASE WHEN access_ends_at > $8 THEN access_ends_at ELSE $8 END
    WHERE id = $1 AND current = $2 AND dead_at IS NULL`;
  const rotate = async (lane: number): Promise<void> => {
    const { id, current, payload } = chain(lane);
    const [now, next] = [systemClock.now(), randomBytes(32)];
    const params = [id, current, next, null, payload, now, now + 86_400_000, now + 600_000];
    if ((await sql.write('alone.rotate', ROTATE, params)).count !== 1) throw new Error('not rotated');
    chain(lane).current = next;
  };
  return {
    read: {
      name: READ,
      kind,
      samples: [],
      measure: (count) =>
        cost(pids, count, (lane) =>
          sql.read('alone.read', SELECT, [chain(lane).id, aliveParam(systemClock)]),
        ),
    },
    write: {
      name: WRITE,
      kind,
      samples: [],
      measure: (count) => cost(pids, count, rotate),
    },
    close,
  };
}

/** Rows of all tables, and bytes of the database without its log. */
export async function sizeOf(url: string): Promise<{ rows: number; bytes: number }> {
  const { sql, kind, close } = await openDatabase({ url, busyTimeout: 60_000, statementTimeout: 600_000 });
  const ask = async (name: string, text: string): Promise<number> =>
    Number((await sql.read<{ found: number }>(name, text))[0]?.found);
  try {
    const tables = await sql.read<{ name: string }>(
      'alone.tables',
      kind === 'postgresql'
        ? `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = current_schema()`
        : `SELECT name FROM sqlite_master WHERE type = 'table'`,
    );
    let rows = 0;
    for (const { name } of tables)
      rows += await ask(`alone.${name}`, `SELECT COUNT(*) AS found FROM "${name}"`);
    const bytes = await ask(
      'alone.bytes',
      kind === 'postgresql'
        ? `SELECT pg_database_size(current_database()) AS found`
        : `SELECT page_count * page_size AS found FROM pragma_page_count(), pragma_page_size()`,
    );
    return { rows, bytes };
  } finally {
    await close();
  }
}
