/** Mails on their way: one node has each at a time, what failed is tried again, and nothing is readable meanwhile. */
import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createMailer } from '../../src/delivery/mailer.ts';
import { createMailTransport, type Mail } from '../../src/delivery/mail-transport.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { databaseKinds } from '../support/databases.ts';
import { DAY, HOUR, openWorld, type World } from './world.ts';

const MAIL: Mail = { to: 'ada@mail.example', subject: 'Grüße', text: 'Hello,\n\n.a line\n' };
const logTo = (lines: string[]) =>
  createLogger({
    environment: 'production',
    level: 'debug',
    destination: { write: (line: string) => void lines.push(line) },
  });

describe.each(databaseKinds)('mails on %s', (kind) => {
  let world: World;
  const log: string[] = [];
  beforeAll(async () => {
    world = await openWorld(kind);
  });
  afterAll(() => world?.close());
  afterEach(async () => {
    await world.database.prisma.mail.deleteMany();
  });
  const mailer = (send: (mail: Mail) => Promise<void>) =>
    createMailer({
      mails: world.mails,
      compose: (request) => Promise.resolve([{ ...MAIL, to: (request as { to: string }).to }]),
      send,
      clock: world.clock,
      logger: logTo(log),
    });
  const goOn = (): boolean => true;
  const left = (): Promise<number> => world.database.prisma.mail.count();

  it('are claimed by one of many, oldest first, and become due again', async () => {
    await world.mails.add({ to: 'first' });
    world.time.now += 1;
    await world.mails.add({ to: 'second' });
    const [first] = await world.mails.claim(1);
    expect(first).toMatchObject({ request: { to: 'first' }, attempts: 1 });
    const claims = await Promise.all(Array.from({ length: 10 }, () => world.mails.claim(5)));
    expect(claims.flat()).toMatchObject([{ request: { to: 'second' } }]);
    world.time.now += HOUR;
    expect((await world.mails.claim(5)).map(({ attempts }) => attempts)).toEqual([2, 2]);
  });

  it('lie in no readable form', async () => {
    await world.mails.add({ to: 'ada@mail.example' });
    const row = await world.database.prisma.mail.findFirstOrThrow();
    expect(Buffer.from(row.sealed).toString('latin1')).not.toContain('ada');
  });

  it('that are sent are gone', async () => {
    const sent: Mail[] = [];
    for (let index = 0; index < 12; index++) await world.mails.add({ to: `ada-${index}` });
    await mailer((mail) => Promise.resolve(void sent.push(mail))).run(goOn);
    expect(new Set(sent.map(({ to }) => to)).size).toBe(12);
    expect(await left()).toBe(0);
  });

  it('that were not taken are tried again, with longer rests, and given up after a day', async () => {
    await world.mails.add({ to: 'ada@mail.example' });
    const tries: number[] = [];
    const failing = mailer(() => {
      tries.push(world.time.now);
      return Promise.reject(Object.assign(new Error('550 ada@mail.example unknown'), { responseCode: 550 }));
    });
    const begin = world.time.now;
    while ((await left()) > 0) {
      await failing.run(goOn);
      world.time.now += 10_000;
    }
    const rests = tries.slice(1).map((at, index) => at - (tries[index] ?? 0));
    expect(rests.slice(0, 4)).toEqual([10_000, 20_000, 40_000, 80_000]);
    expect(Math.max(...rests)).toBe(HOUR);
    expect(world.time.now - begin).toBeLessThanOrEqual(DAY + 10_000);
    expect(log.join('\n')).toContain('"smtp_status":550');
    expect(log.join('\n')).not.toContain('ada@mail.example');
  });

  it('end with the work of the node that has them', async () => {
    await world.mails.add({ to: 'ada' });
    await mailer(() => Promise.resolve()).run(() => false);
    expect(await left()).toBe(1);
  });
});

describe('an SMTP server', () => {
  let server: Server;
  const talks: string[] = [];
  let refuse = false;
  beforeAll(async () => {
    server = createServer((socket: Socket) => {
      let data = false;
      let talk = '';
      socket.write('220 mail.example ESMTP\r\n');
      socket.on('data', (chunk) => {
        talk += chunk.toString();
        const last = chunk.toString().trimEnd();
        if (data && !talk.endsWith('\r\n.\r\n')) return;
        if (data) {
          data = false;
          talks.push(talk);
          socket.write('250 taken\r\n');
        } else if (last === 'DATA') {
          data = true;
          socket.write('354 go on\r\n');
        } else if (refuse && last.startsWith('RCPT')) socket.write('550 nobody of that name\r\n');
        else if (last === 'QUIT') socket.end('221 bye\r\n');
        else socket.write('250 fine\r\n');
      });
      socket.on('error', () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));
  const transport = () => {
    const { port } = server.address() as AddressInfo;
    const settings = {
      environment: 'production',
      dataDir: '/nowhere',
      smtpUrl: `smtp://127.0.0.1:${port}`,
      mailFrom: 'no-reply@id.example',
    } as const;
    return createMailTransport({ settings, clock: { now: () => 0 }, logger: logTo([]) });
  };

  it('is given a mail in whole', async () => {
    await transport()?.(MAIL);
    const talk = talks.at(-1) ?? '';
    expect(talk).toContain('MAIL FROM:<no-reply@id.example>');
    expect(talk).toContain('RCPT TO:<ada@mail.example>');
    expect(talk).toMatch(/^Subject: =\?UTF-8\?/m);
    expect(talk).toContain('\r\n\r\nHello,\r\n\r\n..a line\r\n');
  });

  it('that refuses is heard', async () => {
    refuse = true;
    await expect(transport()?.(MAIL)).rejects.toMatchObject({ responseCode: 550 });
    refuse = false;
  });

  it('is not needed in development, and missed in production', () => {
    const rest = { dataDir: '/nowhere', smtpUrl: undefined, mailFrom: 'a@b.example' };
    const made = (environment: 'development' | 'production') =>
      createMailTransport({
        settings: { ...rest, environment },
        clock: { now: () => 0 },
        logger: logTo([]),
      });
    expect(made('development')).toBeDefined();
    expect(made('production')).toBeUndefined();
  });
});
