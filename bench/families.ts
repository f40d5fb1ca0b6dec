/** Makes living families in bulk: copies of one that a sign-in made, each with a user, a consent and a session of its own. */
import { randomBytes } from 'node:crypto';
import { mintRefreshToken } from '../src/grants/refresh-token.ts';
import type { Database } from '../src/storage/database.ts';
import type { openStorage } from '../src/storage/open.ts';
import { sealContext } from '../src/storage/sealed-columns.ts';
import type { SqlValue } from '../src/storage/sql.ts';

type Row = Record<string, SqlValue>;

/** How many families are used afterwards: all of a small database, as many of a large one, spread evenly. */
export const FEW = 1000;
const BATCH = 500;
const LANES = 4;

async function insert({ sql }: Database, table: string, rows: readonly Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {});
  const places = rows.map(
    (_, row) => `(${columns.map((_column, index) => `$${row * columns.length + index + 1}`).join(', ')})`,
  );
  await sql.write(
    `fill.${table}.${rows.length}`,
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES ${places.join(', ')}`,
    rows.flatMap((row) => columns.map((column) => row[column] ?? null)),
  );
}

/**
 * @param storage holds one family
 * @returns refresh tokens of `FEW` of them
 */
export async function fill(
  {
    database,
    dataKeys,
    families,
  }: Pick<Awaited<ReturnType<typeof openStorage>>, 'database' | 'dataKeys' | 'families'>,
  count: number,
): Promise<string[]> {
  const one = async (table: string): Promise<Row> => {
    const [row] = await database.sql.read<Row>(`fill.${table}`, `SELECT * FROM ${table} LIMIT 1`);
    if (!row) throw new Error(`no row in ${table}`);
    return row;
  };
  const [user, consent, session, family] = [
    await one('users'),
    await one('consents'),
    await one('sessions'),
    await one('families'),
  ];
  const [firstId, firstUser, firstUid] = ['id', 'user_id', 'session_uid'].map((name) =>
    String(family[name]),
  ) as [string, string, string];
  const opened = async (column: string, context: string): Promise<string> =>
    (await dataKeys.open(family[column] as Uint8Array, context)).toString('utf8');
  const grant = await opened('grant_payload', sealContext.familyGrant(firstId));
  const token = await opened('token_payload', sealContext.familyToken(firstId));
  const [tagKey] = dataKeys.tagKeys;
  if (!tagKey) throw new Error('no key for refresh tokens');
  const every = Math.floor(count / FEW);
  const tokens: string[] = [];

  const batch = async (from: number, size: number): Promise<void> => {
    const [users, consents, sessions, rows]: [Row[], Row[], Row[], Row[]] = [[], [], [], []];
    for (let index = from; index < from + size; index++) {
      const id = randomBytes(16).toString('base64url');
      const userId = randomBytes(16).toString('base64url');
      const uid = randomBytes(32).toString('base64url');
      const made = mintRefreshToken(tagKey, id);
      if (index % every === 0 && tokens.length < FEW) tokens.push(made);
      const own = (text: string): string =>
        text.replaceAll(firstId, id).replaceAll(firstUser, userId).replaceAll(firstUid, uid);
      users.push({ ...user, id: userId, username: userId, username_key: userId.toLowerCase() + index });
      consents.push({ ...consent, user_id: userId });
      sessions.push({ ...session, uid, hash: randomBytes(32), user_id: userId });
      rows.push({
        ...family,
        id,
        user_id: userId,
        session_uid: uid,
        check_at: family['idle_ends_at'] ?? null, // as once a sweep has seen that its code was used
        grant_payload: dataKeys.seal(own(grant), sealContext.familyGrant(id)),
        token_payload: dataKeys.seal(own(token), sealContext.familyToken(id)),
        current: families.hashToken(made),
      });
    }
    await insert(database, 'users', users);
    await insert(database, 'consents', consents);
    await insert(database, 'sessions', sessions);
    await insert(database, 'families', rows);
  };
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const from = next;
      next += BATCH;
      await batch(from, Math.min(BATCH, count - from));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  if (database.kind === 'postgresql') await database.sql.write('fill.analyze', 'ANALYZE');
  return tokens;
}
