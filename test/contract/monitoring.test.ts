/** What alerts hang on, on every database: secrets that end while they are in use, and audit events that are lost. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createChanges } from '../../src/storage/changes.ts';
import { expiringSecrets } from '../../src/storage/expiring-secrets.ts';
import { databaseKinds } from '../support/databases.ts';
import { DAY, HOUR, openWorld, type World } from './world.ts';

describe.each(databaseKinds)('monitoring on %s', (kind) => {
  let world: World;
  beforeEach(async () => {
    world = await openWorld(kind);
  });
  afterEach(() => world.close());

  it('tells of secrets that end within two days and were used within one, the first of each client', async () => {
    const now = world.time.now;
    const secret = (
      clientId: string,
      end: number | null,
      used: number | null,
      revoked: number | null = null,
    ) => ({
      id: `${clientId}-${end ?? ''}-${used ?? ''}-${revoked ?? ''}`,
      clientId,
      hint: 'hint',
      hash: Buffer.alloc(32),
      createdAt: 0n,
      expiresAt: end === null ? null : BigInt(now + end),
      lastUsedAt: used === null ? null : BigInt(now - used),
      revokedAt: revoked === null ? null : BigInt(now - revoked),
    });
    await world.database.prisma.clientSecret.createMany({
      data: [
        secret('web', 30 * HOUR, HOUR),
        secret('web', 20 * HOUR, 23 * HOUR),
        secret('soon', HOUR, 0),
        secret('idle', HOUR, 25 * HOUR),
        secret('unused', HOUR, null),
        secret('later', 3 * DAY, HOUR),
        secret('forever', null, HOUR),
        secret('over', -1, HOUR),
        secret('revoked', HOUR, HOUR, 1),
      ],
    });
    expect(await expiringSecrets(world.database, { now: () => now })).toEqual([
      { clientId: 'soon', expiresAt: now + HOUR },
      { clientId: 'web', expiresAt: now + 20 * HOUR },
    ]);
  });

  it('counts each audit event that cannot be written; the change is undone with it', async () => {
    let lost = 0;
    const listeners = { onEvent: () => {}, onBump: () => {}, onUnrecorded: () => void (lost += 1) };
    const { database } = world;
    const changes = createChanges(database, { now: () => world.time.now }, listeners, { of: () => [] });
    await database.sql.write('break', 'ALTER TABLE audit_events RENAME TO elsewhere');
    const event = { type: 'logout.completed', detail: {} } as const;
    await expect(changes.record(event)).rejects.toThrow();
    await expect(
      changes.raw(async ({ tx, record }) => {
        await tx.write('deny', `INSERT INTO denied_tokens (jti, expires_at) VALUES ('x', 1)`);
        await record(event);
      }),
    ).rejects.toThrow();
    await expect(changes.typed(({ record }) => record(event))).rejects.toThrow();
    expect(lost).toBe(3);
    expect(await database.prisma.deniedToken.count()).toBe(0);
  });
});
