/** Events on their way to webhooks, on every database. */
import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createDeliverer } from '../../src/delivery/deliverer.ts';
import { backoff, MAX_ATTEMPTS, type Deliverer } from '../../src/delivery/lanes.ts';
import { createOutbound } from '../../src/delivery/outbound.ts';
import { CLAIM } from '../../src/storage/outbox.ts';
import { openSubscriptions } from '../../src/storage/subscriptions.ts';
import type { AuditEvent } from '../../src/telemetry/events.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { databaseKinds } from '../support/databases.ts';
import { present } from '../support/present.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';
import { DAY, openWorld, type World } from './world.ts';

const SECRET = `whsec_${'k'.repeat(44)}`;
const reuse: AuditEvent = {
  type: 'token.reuse_detected',
  clientId: 'web',
  userId: 'u1',
  grantId: 'g1',
  ip: '192.0.2.9',
  requestId: 'request-9',
  detail: { ms_since_rotation: 17 },
};
const denied: AuditEvent = { type: 'consent.denied', clientId: 'web', userId: 'u1', detail: {} };
const page = { limit: 200 };

describe.each(databaseKinds)('the outbox on %s', (kind) => {
  let world: World;
  let made = 0;
  beforeEach(async () => void (world = await openWorld(kind)));
  afterEach(() => world.close());

  const webhook = async (
    events: readonly string[],
    url = 'https://hooks.example/in',
    enabled = true,
  ): Promise<string> => {
    const id = `hook-${made++}`;
    const event = { type: 'webhook.created', detail: { webhook_id: id } } as const;
    await world.webhooks.create(id, { url, events, enabled }, SECRET, event);
    return id;
  };
  const set = async (id: string, change: { enabled?: boolean; url?: string }): Promise<void> => {
    const { version, url, events, enabled } = present(await world.webhooks.find(id));
    const event = { type: 'webhook.updated', detail: { webhook_id: id, changed: [] } } as const;
    const document = { url, events, enabled, ...change };
    expect(await world.webhooks.update(id, document, version, event)).toBe(true);
  };
  const waiting = async (id: string) => (await world.outbox.list(id, page)).data;
  const types = async (id: string) => (await waiting(id)).map(({ type }) => type).toReversed();

  describe('gets a message', () => {
    it('for each enabled webhook that wants the type, and for no other', async () => {
      const [one, all, other] = [
        await webhook(['token.reuse_detected']),
        await webhook(['*', 'token.reuse_detected']),
        await webhook(['consent.denied', 'consent.granted']),
      ];
      const off = await webhook(['*'], undefined, false);
      await world.changes.record(reuse);
      await world.changes.raw(async ({ record }) => record(denied));
      await world.changes.typed(async ({ record }) => record(reuse));
      expect(await types(one)).toEqual([reuse.type, reuse.type]);
      // It was told of itself, and of those that came after it.
      expect((await types(all)).slice(-3)).toEqual([reuse.type, denied.type, reuse.type]);
      expect(await types(other)).toEqual([denied.type]);
      expect(await types(off)).toEqual([]);
    });

    it('that says what the audit row says, in the form of Standard Webhooks', async () => {
      const id = await webhook(['token.reuse_detected']);
      await world.changes.record(reuse);
      const [message] = await world.outbox.claim(id, 5);
      const { data: rows } = await world.audit.list({ type: 'token.reuse_detected' }, page);
      expect(JSON.parse(message?.body ?? '')).toEqual({
        type: 'token.reuse_detected',
        timestamp: '2030-01-01T00:00:00.000Z',
        data: {
          id: rows[0]?.id,
          actor: null,
          client_id: 'web',
          user_id: 'u1',
          grant_id: 'g1',
          ip: '192.0.2.9',
          request_id: 'request-9',
          detail: { ms_since_rotation: 17 },
        },
      });
      expect(message).toMatchObject({ type: 'token.reuse_detected', attempts: 1 });
      expect(message?.id).toMatch(/^msg_[0-9A-Z]{26}$/);
    });

    it('in the transaction of the event: neither, when it is undone', async () => {
      const id = await webhook(['*']);
      const undone = new Error('undone');
      const before = [(await world.audited()).length, (await waiting(id)).length];
      const fail = async ({ record }: { record(event: AuditEvent): Promise<void> }): Promise<never> => {
        await record(reuse);
        throw undone;
      };
      await expect(world.changes.raw(fail)).rejects.toBe(undone);
      await expect(world.changes.typed(fail)).rejects.toBe(undone);
      expect([(await world.audited()).length, (await waiting(id)).length]).toEqual(before);
      // And the other way around: the event is not there without its message.
      await world.database.sql.write('break', 'ALTER TABLE outbox RENAME TO outbox_away');
      await expect(world.changes.record(reuse)).rejects.toThrow(/outbox/);
      await expect(world.changes.raw(({ record }) => record(reuse))).rejects.toThrow(/outbox/);
      await expect(world.changes.typed(({ record }) => record(reuse))).rejects.toThrow(/outbox/);
      expect((await world.audited()).length).toBe(before[0]);
      await world.database.sql.write('mend', 'ALTER TABLE outbox_away RENAME TO outbox');
    });

    it('as soon as a webhook is there, and no more once it is disabled or deleted; other nodes are told', async () => {
      const elsewhere = await openSubscriptions(world.database);
      const id = await webhook(['consent.denied']);
      expect(world.subscriptions.of('consent.denied')).toEqual([id]);
      expect(world.bumps.at(-1)).toBe('webhooks');
      expect([elsewhere.any(), elsewhere.of('consent.denied')]).toEqual([false, []]);
      await elsewhere.reload();
      expect([elsewhere.any(), elsewhere.of('consent.denied')]).toEqual([true, [id]]);

      await set(id, { enabled: false });
      expect(world.subscriptions.of('consent.denied')).toEqual([]);
      await world.changes.record(denied);
      expect(await waiting(id)).toEqual([]);
      await set(id, { enabled: true });
      await world.changes.record(denied);
      expect(await waiting(id)).toHaveLength(1);
      expect(await world.webhooks.delete(id, { type: 'webhook.deleted', detail: { webhook_id: id } })).toBe(
        true,
      );
      expect(await world.webhooks.delete(id, { type: 'webhook.deleted', detail: { webhook_id: id } })).toBe(
        false,
      );
      expect([world.subscriptions.any(), await waiting(id)]).toEqual([false, []]);
    });
  });

  describe('hands a message', () => {
    it('to one of many that claim at once, until the time for an attempt is over', async () => {
      const id = await webhook(['consent.denied']);
      for (let i = 0; i < 25; i++) await world.changes.record(denied);
      const claims = await Promise.all(Array.from({ length: 10 }, () => world.outbox.claim(id, 5)));
      const ids = claims.flat().map((message) => message.id);
      expect([ids.length, new Set(ids).size]).toEqual([25, 25]);
      expect(claims.every((claim) => claim.length <= 5)).toBe(true);
      world.time.now += CLAIM - 1;
      expect([await world.outbox.claim(id, 5), await world.outbox.due()]).toEqual([[], []]);
      world.time.now += 1;
      expect((await world.outbox.claim(id, 5)).map(({ attempts }) => attempts)).toEqual([2, 2, 2, 2, 2]);
    });

    it('to nobody while its webhook is disabled; it is not lost', async () => {
      const id = await webhook(['consent.denied']);
      await world.changes.record(denied);
      await set(id, { enabled: false });
      expect([await world.outbox.due(), await world.outbox.claim(id, 5)]).toEqual([[], []]);
      await set(id, { enabled: true });
      expect(await world.outbox.due()).toEqual([id]);
      expect(await world.outbox.claim(id, 5)).toHaveLength(1);
    });
  });

  describe('is emptied', () => {
    let receivers: Receiver[];
    let log: string[];
    beforeEach(async () => {
      receivers = [await startReceiver(), await startReceiver()];
      log = [];
    });
    afterEach(() => Promise.all(receivers.map((each) => each.close())));
    const receiver = (at = 0): Receiver => present(receivers[at]);
    const deliverer = (timeout = 5_000): Deliverer =>
      createDeliverer({
        ...world,
        fetch: createOutbound({ fetchAllow: receivers.map(({ host }) => host), timeout }),
        logger: createLogger({
          environment: 'production',
          destination: { write: (line: string) => void log.push(line) },
        }),
      });
    const round = async (by: Deliverer): Promise<void> => {
      await by.run(() => true);
      await by.idle();
    };

    it('by signed posts; what a 2xx has answered is gone', async () => {
      const id = await webhook(['consent.denied'], receiver().url);
      await world.changes.record(denied);
      world.time.now += 1_500;
      await round(deliverer());
      const [got] = receiver().received;
      expect(got).toMatchObject({
        method: 'POST',
        path: '/hook',
        headers: {
          'content-type': 'application/json',
          'webhook-timestamp': String(Date.parse('2030-01-01T00:00:01Z') / 1000),
        },
      });
      const { headers, body } = present(got);
      const content = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
      const signature = createHmac('sha256', Buffer.from('k'.repeat(44), 'base64')).update(content);
      expect(headers['webhook-signature']).toBe(`v1,${signature.digest('base64')}`);
      expect(await waiting(id)).toEqual([]);
      await round(deliverer());
      expect(receiver().received).toHaveLength(1);
    });

    it('of a backlog of any length, each message once, by however many nodes', async () => {
      const id = await webhook(['consent.denied'], receiver().url);
      for (let i = 0; i < 60; i++) await world.changes.record(denied);
      await Promise.all([deliverer(), deliverer(), deliverer()].map(round));
      const ids = receiver().received.map(({ headers }) => headers['webhook-id']);
      expect([ids.length, new Set(ids).size, await waiting(id)]).toEqual([60, 60, []]);
    });

    it('not when the endpoint refuses, redirects or hangs: later again, each time after a longer pause', async () => {
      const id = await webhook(['consent.denied'], receiver().url);
      await world.changes.record(denied);
      const by = deliverer(100);
      const ids = new Set<unknown>();
      for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt++) {
        receiver().answer = (_request, response) => {
          if (attempt === 3) return; // hangs
          const status = attempt === 2 ? 302 : 503;
          response.writeHead(status, { location: receiver(1).url }).end('no');
        };
        await round(by);
        expect(receiver().received).toHaveLength(attempt);
        ids.add(receiver().received.at(-1)?.headers['webhook-id']);
        const dueAt = world.time.now + backoff(attempt);
        const error = ['answered 503', 'answered 302', 'no answer in time'][Math.min(attempt, 3) - 1];
        expect(await waiting(id)).toMatchObject([
          { attempts: attempt, dueAt, error: attempt > 3 ? 'answered 503' : error },
        ]);
        world.time.now = dueAt - 1;
        await round(by);
        expect(receiver().received).toHaveLength(attempt);
        world.time.now += 1;
      }
      receiver().answer = (_request, response) => void response.writeHead(503).end();
      await round(by);
      expect(await waiting(id)).toMatchObject([{ attempts: MAX_ATTEMPTS, dueAt: undefined }]);
      expect([ids.size, receiver(1).received]).toEqual([1, []]);
      expect(log.at(-1)).toMatch(/"event":"webhook.given_up"/);
      expect(log.join('\n')).not.toMatch(/whsec_|kkkk/);

      // Given up, it stays to be seen, is not tried by itself, and can be sent again.
      world.time.now += DAY;
      await round(by);
      expect(receiver().received).toHaveLength(MAX_ATTEMPTS);
      receiver().answer = (_request, response) => void response.writeHead(200).end();
      const { id: message } = present((await waiting(id))[0]);
      expect(await world.outbox.retry('another', message)).toBe(false);
      expect(await world.outbox.retry(id, message)).toBe(true);
      await round(by);
      expect([receiver().received.length, await waiting(id)]).toEqual([MAX_ATTEMPTS + 1, []]);
      expect(await world.outbox.retry(id, message)).toBe(false);
    });

    it('backing off doubles twice each time, up to half a day: a day and a half in all', () => {
      const pauses = Array.from({ length: MAX_ATTEMPTS - 1 }, (_, i) => backoff(i + 1) / 1000);
      expect(pauses).toEqual([5, 20, 80, 320, 1280, 5120, 20480, 43200, 43200]);
    });

    it('without waiting for a slow endpoint before the others', async () => {
      const slow = await webhook(['consent.denied'], receiver(0).url);
      const quick = await webhook(['consent.denied'], receiver(1).url);
      const held: (() => void)[] = [];
      receiver(0).answer = (_request, response) => void held.push(() => response.writeHead(200).end());
      for (let i = 0; i < 3; i++) await world.changes.record(denied);
      const by = deliverer();
      await by.run(() => true);
      await receiver(1).until(3);
      await world.changes.record(denied);
      await by.run(() => true);
      await receiver(1).until(4);
      expect([receiver(0).received.length, await waiting(slow).then((all) => all.length)]).toEqual([3, 4]);
      receiver(0).answer = (_request, response) => void response.writeHead(200).end();
      for (const release of held) release();
      await by.idle();
      expect([await waiting(slow), await waiting(quick)]).toEqual([[], []]);
    });

    it('no further when the node is to stop: what is under way is finished', async () => {
      const id = await webhook(['consent.denied'], receiver().url);
      for (let i = 0; i < 30; i++) await world.changes.record(denied);
      let steps = 0;
      const by = deliverer();
      await by.run(() => ++steps <= 2);
      await by.idle();
      expect([receiver().received.length, (await waiting(id)).length]).toEqual([20, 10]);
    });

    it('never to a private address, whatever the setting was when the webhook was made', async () => {
      const id = await webhook(['consent.denied'], 'https://127.0.0.1:1/hook');
      await world.changes.record(denied);
      await round(deliverer());
      expect((await waiting(id))[0]?.error).toContain('private address');
    });
  });

  it('is swept after thirty days, what was given up included', async () => {
    const id = await webhook(['consent.denied']);
    await world.changes.record(denied);
    const [message] = await world.outbox.claim(id, 1);
    await world.outbox.failed(message?.id ?? '', undefined, 'answered 500');
    world.time.now += 30 * DAY - 1;
    expect(await world.sweep()).toMatchObject({ outbox: 0 });
    world.time.now += 1;
    expect(await world.sweep()).toMatchObject({ outbox: 1 });
  });

  it('lies with secrets sealed: nothing in the database signs a message', async () => {
    const id = await webhook(['*']);
    const rows = await world.database.prisma.webhook.findMany();
    expect(Buffer.from(rows[0]?.secret ?? []).toString('latin1')).not.toContain('kkkk');
    expect(await world.webhooks.endpoint(id)).toMatchObject({ secret: SECRET });
  });
});
