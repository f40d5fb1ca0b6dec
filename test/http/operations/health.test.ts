/** What probes are told. */
import { rmSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { databaseKinds, freshDatabase } from '../../support/databases.ts';
import { startTestServer } from '../../support/server.ts';

describe.each(databaseKinds)('health on %s', (kind) => {
  it('is not ready once the database is that of an older release, and alive all the same', async () => {
    const server = await startTestServer({ kind });
    onTestFinished(server.close);
    const status = async (probe: string) => (await fetch(`${server.url}/health/${probe}`)).status;
    const good = {
      database: true,
      migrations: true,
      signing_keys: true,
      secret_keys: true,
      changes: true,
      not_draining: true,
    };
    expect(await server.app.health.checks()).toEqual(good);
    expect(await status('ready')).toBe(200);
    await server.app.domain.storage.database.sql.write(
      'older',
      'DELETE FROM _prisma_migrations WHERE migration_name = (SELECT MAX(migration_name) FROM _prisma_migrations)',
    );
    expect(await server.app.health.checks()).toEqual({ ...good, migrations: false });
    expect([await status('ready'), await status('live')]).toEqual([503, 200]);
  });
});

it('is not ready from the moment it drains, while it still answers', async () => {
  const database = await freshDatabase('sqlite');
  const server = await startTestServer({ databaseUrl: database.url });
  onTestFinished(() => rmSync(server.dataDir, { recursive: true }));
  onTestFinished(() => database.drop());
  const closing = server.app.close(2_000);
  const [ready, live] = await Promise.all(
    ['ready', 'live'].map((probe) => fetch(`${server.url}/health/${probe}`)),
  );
  expect([ready?.status, live?.status]).toEqual([503, 200]);
  expect(await server.app.health.checks()).toMatchObject({ not_draining: false });
  await closing;
});
