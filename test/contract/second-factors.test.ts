/** Second factors: what proves something is good once, under any concurrency, and lies in no readable form. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  createSecondFactors,
  type Proof,
  type SecondFactors,
  type SetUp,
} from '../../src/users/second-factors.ts';
import { stepOf, totpCode } from '../../src/users/totp.ts';
import { Authenticator } from '../support/authenticator.ts';
import { databaseKinds } from '../support/databases.ts';
import { admin, MINUTE, openWorld, type World } from './world.ts';

const ATTEMPTS = 20;

describe.each(databaseKinds)('second factors on %s', (kind) => {
  let world: World;
  let factors: SecondFactors;
  let user: { id: string; generation: string };
  let secret: Buffer;
  let codes: readonly string[];
  let names = 0;
  beforeAll(async () => {
    world = await openWorld(kind);
    factors = createSecondFactors({
      storage: world,
      clock: world.clock,
      issuer: 'https://id.example',
    });
  });
  afterAll(() => world?.close());
  const shown = (drift = 0): string => totpCode(secret, stepOf(world.time.now) + drift);
  beforeEach(async () => {
    user = await world.user(`user-${names++}`);
    ({ secret } = factors.newApp({ username: 'ada' }));
    codes = (await factors.addApp(user.id, secret, shown(), admin))?.recoveryCodes ?? [];
  });
  const verify = (code: string) => factors.verifyCode(user.id, code, admin);
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
    expect(await factors.verifyCode(other.id, codes[0] ?? '', admin)).toBeUndefined();
    expect(await verify(codes[0] ?? '')).toBe('recovery');
  });

  it('are set up once, of any number of callers: one of them gets the codes that work', async () => {
    await factors.removeApp(user.id, admin);
    const outcomes = await inParallel(() => factors.addApp(user.id, secret, shown(), admin));
    const [won] = outcomes.filter((outcome) => outcome !== undefined);
    expect(outcomes.filter((outcome) => outcome !== undefined)).toHaveLength(1);
    expect(await verify(won?.recoveryCodes?.[3] ?? '')).toBe('recovery');
  });

  it('are not set up with a wrong code', async () => {
    await factors.removeApp(user.id, admin);
    world.time.now += MINUTE;
    for (const wrong of [shown(2), shown(-2), '', 'abcdef'])
      expect(await factors.addApp(user.id, secret, wrong, admin)).toBeUndefined();
    expect(await factors.find(user.id)).toBeUndefined();
  });

  it('get new recovery codes in place of the old ones', async () => {
    const renewed = (await factors.renewRecoveryCodes(user.id, admin)) ?? [];
    expect(await verify(codes[0] ?? '')).toBeUndefined();
    expect(await verify(renewed[0] ?? '')).toBe('recovery');
    await factors.removeApp(user.id, admin);
    expect(await factors.renewRecoveryCodes(user.id, admin)).toBeUndefined();
  });

  it('leave nothing behind when they are removed, or their user is deleted', async () => {
    const { prisma } = world.database;
    const rows = async () => [
      await prisma.totpSecret.count({ where: { userId: user.id } }),
      await prisma.recoveryCode.count({ where: { userId: user.id } }),
    ];
    expect(await rows()).toEqual([1, 10]);
    await factors.removeApp(user.id, admin);
    expect(await rows()).toEqual([0, 0]);
    await factors.addApp(user.id, secret, shown(1), admin);
    await world.accounts.remove(user.id, admin);
    expect(await rows()).toEqual([0, 0]);
  });

  it('are added by somebody who has not proved one only while there is none: of parallel first ones one wins', async () => {
    await factors.reset(user.id, admin);
    const addPasskey = async () => {
      const challenge = factors.newChallenge();
      const asked = { id: user.id, username: 'ada', name: undefined };
      const options = factors.passkeyCreation(asked, undefined, challenge) ?? '';
      const answer = new Authenticator('https://id.example').create(options);
      return factors.addPasskey(user.id, { answer, challenge, name: 'Key' }, admin, true);
    };
    const adds = [1, 2].flatMap(() => [addPasskey(), factors.addApp(user.id, secret, shown(), admin, true)]);
    expect((await Promise.all(adds)).filter((added) => added !== undefined)).toHaveLength(1);
  });

  it('lie in no readable form', async () => {
    const { prisma } = world.database;
    const app = await prisma.totpSecret.findUniqueOrThrow({ where: { userId: user.id } });
    expect(Buffer.from(app.sealed).includes(secret)).toBe(false);
    const hashes = await prisma.recoveryCode.findMany({ where: { userId: user.id } });
    for (const { hash } of hashes) expect(hash).toHaveLength(32);
    expect(JSON.stringify(world.events)).not.toContain(codes[0]?.slice(0, 5));
  });

  describe('passkeys', () => {
    const ORIGIN = 'https://id.example';
    let passkey: Authenticator;
    const add = async (of = user.id, key = passkey): Promise<SetUp | undefined> => {
      const challenge = factors.newChallenge();
      const asked = { id: of, username: 'ada', name: undefined };
      const options = factors.passkeyCreation(asked, await factors.find(of), challenge) ?? '';
      return factors.addPasskey(of, { answer: key.create(options), challenge, name: 'Key' }, admin);
    };
    const ask = async (challenge = factors.newChallenge()): Promise<string> => {
      const found = await factors.find(user.id);
      return factors.passkeyRequest(found, challenge) ?? JSON.stringify({ challenge });
    };
    const answer = (options: string, key = passkey): Promise<Proof | undefined> => {
      const { challenge } = JSON.parse(options) as { challenge: string };
      return factors.verifyPasskey(user.id, key.get(options), challenge);
    };
    beforeEach(() => {
      passkey = new Authenticator(ORIGIN);
    });

    it('are asked for by their ids, and take a signature of the challenge', async () => {
      expect(await add()).toEqual({ recoveryCodes: undefined }); // there are some, with the app
      const options = await ask();
      expect(JSON.parse(options)).toMatchObject({
        rpId: 'id.example',
        allowCredentials: [{ id: passkey.id, transports: ['usb'] }],
      });
      expect(await answer(options)).toBe('pop');
      expect((await factors.find(user.id))?.passkeys).toMatchObject([
        { id: passkey.id, counter: 2, name: 'Key' },
      ]);
    });

    it('take a challenge once, of any number of callers', async () => {
      await add();
      const options = await ask();
      const outcomes = await inParallel(() => answer(options));
      expect(outcomes.filter((outcome) => outcome !== undefined)).toEqual(['pop']);
    });

    it('that do not count take a challenge once too', async () => {
      passkey = new Authenticator(ORIGIN, { counts: false });
      await add();
      const options = await ask();
      expect([await answer(options), await answer(options)]).toEqual(['pop', undefined]);
    });

    it('that count are refused when they count backwards: they were copied', async () => {
      await add();
      expect(await answer(await ask())).toBe('pop');
      passkey.counter = 1;
      expect(await answer(await ask())).toBeUndefined();
      expect(await answer(await ask())).toBe('pop');
    });

    it('that do not count are taken each time', async () => {
      passkey = new Authenticator(ORIGIN, { counts: false });
      await add();
      for (let times = 0; times < 3; times++) expect(await answer(await ask())).toBe('pop');
    });

    it('are refused from another origin, for another domain, another challenge, another key, as garbage', async () => {
      await add();
      const stranger = new Authenticator(ORIGIN);
      expect(await answer(await ask(), stranger)).toBeUndefined();
      for (const wrong of [
        new Authenticator('https://evil.example'),
        new Authenticator('https://evil.example', { rpId: 'id.example' }),
        new Authenticator(ORIGIN, { rpId: 'evil.example' }),
      ])
        expect(await add(user.id, wrong)).toBeUndefined();
      const signed = passkey.get(await ask());
      expect(await factors.verifyPasskey(user.id, signed, factors.newChallenge())).toBeUndefined();
      const challenge = factors.newChallenge();
      const good = JSON.parse(passkey.get(await ask(challenge))) as { response: Record<string, string> };
      for (const response of [
        { ...good.response, signature: 'AAAA' },
        { ...good.response, clientDataJSON: 'AAAA' },
        { ...good.response, authenticatorData: '' },
        {},
      ]) {
        const forged = JSON.stringify({ ...good, response });
        expect(await factors.verifyPasskey(user.id, forged, challenge)).toBeUndefined();
      }
      for (const garbage of ['', '{}', '[]', 'null', '"x"', '{', '{"id":1}'])
        expect(await factors.verifyPasskey(user.id, garbage, challenge)).toBeUndefined();
      expect(await factors.verifyPasskey(user.id, JSON.stringify(good), challenge)).toBe('pop');
    });

    it('belong to one user, whoever has the answer', async () => {
      await add();
      const other = await world.user(`user-${names++}`);
      expect(await add(other.id)).toBeUndefined();
      const challenge = factors.newChallenge();
      const signed = passkey.get(await ask(challenge));
      expect(await factors.verifyPasskey(other.id, signed, challenge)).toBeUndefined();
    });

    it('recovery codes come with the first second factor, and go with the last', async () => {
      const other = await world.user(`user-${names++}`);
      expect((await add(other.id))?.recoveryCodes).toHaveLength(10);
      await add(other.id, new Authenticator(ORIGIN));
      await factors.removePasskey(other.id, passkey.id, admin);
      expect(await factors.find(other.id)).toMatchObject({ recoveryCodes: 10 });
      await factors.reset(other.id, admin);
      expect(await factors.find(other.id)).toBeUndefined();
      expect(await world.database.prisma.recoveryCode.count({ where: { userId: other.id } })).toBe(0);
    });

    it('one user cannot remove those of another', async () => {
      await add();
      const other = await world.user(`user-${names++}`);
      await factors.removePasskey(other.id, passkey.id, admin);
      expect((await factors.find(user.id))?.passkeys).toHaveLength(1);
    });

    it('cannot be had where the server has no name', () => {
      const { clock } = world;
      for (const issuer of ['http://127.0.0.1:3000', 'http://[::1]:3000']) {
        const local = createSecondFactors({ storage: world, clock, issuer });
        const asked = { id: user.id, username: 'ada', name: undefined };
        expect(local.passkeyCreation(asked, undefined, local.newChallenge())).toBeUndefined();
      }
    });
  });
});
