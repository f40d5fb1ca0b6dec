import { expect, it, describe } from 'vitest';
import { databaseKinds, freshDatabase } from '../support/databases.ts';
import { startTestServer } from '../support/server.ts';
import { until } from './support/processes.ts';

describe.each(databaseKinds)('the background work on %s', (kind) => {
  it('sweeps what has expired, however much, until nothing is due; a node that stops hands over', async () => {
    const database = await freshDatabase(kind);
    const databaseUrl = database.url;
    const first = await startTestServer({ databaseUrl });
    const { database: kept } = first.app.domain.storage;
    const holders = () => kept.sql.read<{ holder: string }>('holders', 'SELECT holder FROM leases');
    await until('the lease', async () => (await holders()).length === 1);
    const [before] = await holders();
    for (let i = 0; i < 12; i++) {
      const rows = Array.from({ length: 100 }, (_, j) => `('${i}-${j}', 1)`).join(',');
      await kept.sql.write(`seed-${i}`, `INSERT INTO denied_tokens (jti, expires_at) VALUES ${rows}`);
    }
    await kept.sql.write(
      'seed-alive',
      `INSERT INTO denied_tokens (jti, expires_at) VALUES ('alive', 9000000000000)`,
    );
    const second = await startTestServer({ databaseUrl, secretKeys: first.secretKeys });
    // Each of the two is an issuer of its own: the one that comes later says so.
    const warned = () => second.log.filter((line) => line.includes('"issuer.differs"'));
    await until('warned', () => warned().length > 0);
    expect(warned()[0]).toContain(`"other":"${first.url}"`);
    await first.close();
    const { sql } = second.app.domain.storage.database;
    const left = () => sql.read<{ jti: string }>('left', 'SELECT jti FROM denied_tokens');
    await until('swept', async () => (await left()).length === 1);
    expect(await left()).toEqual([{ jti: 'alive' }]);
    const [after] = await sql.read<{ holder: string }>('holders', 'SELECT holder FROM leases');
    expect(after?.holder).not.toBe(before?.holder);
    await second.close();
    await database.drop();
  }, 60_000);
});

it('the background work deletes audit events after PORTCULLIS_AUDIT_RETENTION_DAYS', async () => {
  const database = await freshDatabase('sqlite');
  const [databaseUrl, day] = [database.url, 86_400_000];
  const clock = { now: () => Date.now() - 3 * day };
  const first = await startTestServer({ databaseUrl, clock });
  await first.close();
  const { secretKeys } = first;
  const second = await startTestServer({
    databaseUrl,
    secretKeys,
    env: { PORTCULLIS_AUDIT_RETENTION_DAYS: '2' },
  });
  const { prisma } = second.app.domain.storage.database;
  await second.app.domain.accounts.create({ username: 'new' }, { actor: 'test' });
  const oldest = async () => Number((await prisma.auditEvent.findFirst({ orderBy: { id: 'asc' } }))?.time);
  await until('deleted', async () => (await oldest()) > Date.now() - day);
  expect(await prisma.auditEvent.count({ where: { type: 'user.created' } })).toBe(1);
  await second.close();
  await database.drop();
}, 60_000);
