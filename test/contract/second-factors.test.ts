/** Second factors: what proves something is good once, under any concurrency, and lies in no readable form. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSecondFactors, type SecondFactors } from '../../src/users/second-factors.ts';
import { stepOf, totpCode } from '../../src/users/totp.ts';
import { databaseKinds } from '../support/databases.ts';
import { admin, MINUTE, openWorld, type World } from './world.ts';

const ATTEMPTS = 20;

describe.each(databaseKinds)('second factors on %s', (kind) => {
  let world: World;
  let factors: SecondFactors;
  let user: { id: string; generation: string };
  let secret: Buffer;
  let codes: string[];
  let names = 0;
  beforeAll(async () => {
    world = await openWorld(kind);
    factors = createSecondFactors(world.secondFactors, { clock: world.clock, issuer: 'id.example' });
  });
  afterAll(() => world?.close());
  const shown = (drift = 0): string => totpCode(secret, stepOf(world.time.now) + drift);
  beforeEach(async () => {
    user = await world.user(`user-${names++}`);
    ({ secret } = factors.newApp({ username: 'ada' }));
    codes = (await factors.add(user.id, secret, shown(), admin)) ?? [];
  });
  const verify = (code: string) => factors.verify(user.id, code, admin);
  const inParallel = async <T>(work: () => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: ATTEMPTS }, work));

  it('come with ten recovery codes', () => {
    expect(codes).toHaveLength(10);
  });

  it('take the code that proved the app once: it is spent', async () => {
    expect(await verify(shown())).toBeUndefined();
    world.time.now += MINUTE;
    expect(await verify(shown())).toBe('otp');
  });

  it('take a code once, of any number of callers', async () => {
    world.time.now += MINUTE;
    const outcomes = await inParallel(() => verify(shown()));
    expect(outcomes.filter((outcome) => outcome !== undefined)).toEqual(['otp']);
  });

  it('take no code that is older than one that was used', async () => {
    world.time.now += 5 * MINUTE;
    expect(await verify(shown(1))).toBe('otp');
    expect(await verify(shown(0))).toBeUndefined();
    expect(await verify(shown(-1))).toBeUndefined();
  });

  it('take a recovery code once, of any number of callers, and say how many are left', async () => {
    const [code = ''] = codes;
    const outcomes = await inParallel(() => verify(code.toLowerCase()));
    expect(outcomes.filter((outcome) => outcome !== undefined)).toEqual(['recovery']);
    expect(await factors.find(user.id)).toMatchObject({ recoveryCodes: 9 });
    expect(world.events.at(-1)).toMatchObject({ type: 'user.recovery_code_used', detail: { left: 9 } });
  });

  it('take no recovery code of somebody else', async () => {
    const other = await world.user(`user-${names++}`);
    expect(await factors.verify(other.id, codes[0] ?? '', admin)).toBeUndefined();
    expect(await verify(codes[0] ?? '')).toBe('recovery');
  });

  it('are set up once, of any number of callers: one of them gets the codes that work', async () => {
    await factors.remove(user.id, admin);
    const outcomes = await inParallel(() => factors.add(user.id, secret, shown(), admin));
    const [won = []] = outcomes.filter((outcome) => outcome !== undefined);
    expect(outcomes.filter((outcome) => outcome !== undefined)).toHaveLength(1);
    expect(await verify(won[3] ?? '')).toBe('recovery');
  });

  it('are not set up with a wrong code', async () => {
    await factors.remove(user.id, admin);
    world.time.now += MINUTE;
    for (const wrong of [shown(2), shown(-2), '', 'abcdef'])
      expect(await factors.add(user.id, secret, wrong, admin)).toBeUndefined();
    expect(await factors.find(user.id)).toBeUndefined();
  });

  it('get new recovery codes in place of the old ones', async () => {
    const renewed = (await factors.renewRecoveryCodes(user.id, admin)) ?? [];
    expect(await verify(codes[0] ?? '')).toBeUndefined();
    expect(await verify(renewed[0] ?? '')).toBe('recovery');
    await factors.remove(user.id, admin);
    expect(await factors.renewRecoveryCodes(user.id, admin)).toBeUndefined();
  });

  it('leave nothing behind when they are removed, or their user is deleted', async () => {
    const { prisma } = world.database;
    const rows = async () => [
      await prisma.totpSecret.count({ where: { userId: user.id } }),
      await prisma.recoveryCode.count({ where: { userId: user.id } }),
    ];
    expect(await rows()).toEqual([1, 10]);
    await factors.remove(user.id, admin);
    expect(await rows()).toEqual([0, 0]);
    await factors.add(user.id, secret, shown(1), admin);
    await world.accounts.remove(user.id, admin);
    expect(await rows()).toEqual([0, 0]);
  });

  it('lie in no readable form', async () => {
    const { prisma } = world.database;
    const app = await prisma.totpSecret.findUniqueOrThrow({ where: { userId: user.id } });
    expect(Buffer.from(app.sealed).includes(secret)).toBe(false);
    const hashes = await prisma.recoveryCode.findMany({ where: { userId: user.id } });
    for (const { hash } of hashes) expect(hash).toHaveLength(32);
    expect(JSON.stringify(world.events)).not.toContain(codes[0]?.slice(0, 5));
  });
});
