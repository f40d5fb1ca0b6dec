import { createHmac } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type World } from '../../support/fixtures.ts';
import { present } from '../../support/present.ts';
import { startReceiver, type Received, type Receiver } from '../../support/receiver.ts';
import { AdminClient, type Doc, type Page } from '../admin/support/admin-client.ts';

const PATIENT = { timeout: 20_000 };

interface Webhook extends Doc {
  readonly id: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly enabled: boolean;
  readonly created_at: string;
}

/** Checks a message as a receiver would, by the specification of Standard Webhooks. */
function verified(secret: string, { headers, body }: Received): Doc {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const [id, timestamp] = [headers['webhook-id'], headers['webhook-timestamp']].map(String);
  const mac = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  expect(String(headers['webhook-signature']).split(' ')).toContain(`v1,${mac}`);
  expect(Math.abs(Number(timestamp) * 1000 - Date.now())).toBeLessThan(300_000);
  return JSON.parse(body) as Doc;
}

describe.each(databaseKinds)('webhooks on %s', (kind) => {
  let world: World;
  let admin: AdminClient;
  let receiver: Receiver;
  beforeAll(async () => {
    receiver = await startReceiver();
    world = await startWorld({ kind, env: { PORTCULLIS_FETCH_ALLOW: receiver.host } });
    admin = await AdminClient.connect(world);
  });
  afterAll(async () => {
    await world.close();
    await receiver.close();
  });
  beforeEach(() => {
    receiver.received.length = 0;
    receiver.answer = (_request, response) => void response.writeHead(204).end();
  });
  afterEach(async () => {
    const { body } = await admin.ok<Page<Webhook>>('GET', '/webhooks');
    for (const { id } of body.data) await admin.ok('DELETE', `/webhooks/${id}`);
  });
  const create = async (document: object = {}) =>
    (
      await admin.ok<Webhook & { secret: string }>('POST', '/webhooks', {
        body: { url: receiver.url, ...document },
      })
    ).body;
  const faults = async (document: object) => {
    const { status, body } = await admin.call('POST', '/webhooks', { body: document });
    return [
      status,
      (body['errors'] as { pointer: string; detail: string }[] | undefined)?.map((each) =>
        Object.values(each).join(' '),
      ),
    ];
  };
  /** What reaches the receiver of a type, once it has come. */
  const arrived = async (type: string): Promise<Received> => {
    const found = () => receiver.received.find(({ body }) => body.includes(`"type":"${type}"`));
    await expect.poll(found, PATIENT).toBeDefined();
    return present(found());
  };

  it('are created with a secret that is shown this once', async () => {
    const { status, body, headers } = await admin.call<Webhook & { secret: string }>('POST', '/webhooks', {
      body: { url: receiver.url, events: ['token.reuse_detected', 'user.disabled', 'user.disabled'] },
    });
    expect(status).toBe(201);
    const { secret, ...shown } = body;
    expect(secret).toMatch(/^whsec_[A-Za-z0-9]{44}$/);
    expect(shown).toMatchObject({
      url: receiver.url,
      events: ['token.reuse_detected', 'user.disabled'],
      enabled: true,
    });
    expect(headers.get('location')).toBe(`${world.url}/admin/v1/webhooks/${body.id}`);
    const got = await admin.ok('GET', `/webhooks/${body.id}`);
    expect(got.body).toEqual(shown);
    expect(got.headers.get('etag')).toBe(headers.get('etag'));
    expect((await admin.ok<Page>('GET', '/webhooks')).body.data).toEqual([shown]);
    expect(JSON.stringify((await admin.ok('GET', '/audit-events?limit=200')).body)).not.toContain(
      secret.slice(6),
    );
    expect(world.log.join('')).not.toContain(secret.slice(6));
  });

  it('are changed by merge patch, with If-Match, and deleted more than once; each change is audited', async () => {
    const { id } = await create();
    const path = `/webhooks/${id}`;
    const etag = (await admin.ok('GET', path)).headers.get('etag') ?? '';
    const headers = { 'if-match': etag };
    const patched = await admin.ok<Webhook>('PATCH', path, {
      body: { events: ['user.created'], enabled: false },
      headers,
    });
    expect(patched.body).toMatchObject({ id, url: receiver.url, events: ['user.created'], enabled: false });
    expect((await admin.call('PATCH', path, { body: { enabled: true }, headers })).status).toBe(412);
    expect((await admin.ok<Webhook>('PATCH', path, { body: { events: null } })).body.events).toEqual(['*']);
    await admin.ok('PATCH', path, { body: { enabled: false } }); // changes nothing
    await admin.ok('DELETE', path);
    await admin.ok('DELETE', path);
    expect((await admin.call('GET', path)).status).toBe(404);
    expect((await admin.call('PATCH', path, { body: {} })).status).toBe(404);
    expect((await admin.call('POST', `${path}/test`)).status).toBe(404);
    expect((await admin.call('GET', `${path}/messages`)).status).toBe(404);
    const { body } = await admin.ok<Page<{ type: string; actor: string; detail: Doc }>>(
      'GET',
      '/audit-events?limit=200',
    );
    const audited = body.data.filter(({ detail }) => detail['webhook_id'] === id);
    expect(audited.map(({ type }) => type)).toEqual([
      'webhook.deleted',
      'webhook.updated',
      'webhook.updated',
      'webhook.created',
    ]);
    expect(audited[2]).toMatchObject({ actor: 'client:admin', detail: { changed: ['enabled', 'events'] } });
  });

  it.each([
    [{}, ['/url must be a URL']],
    [{ url: 'hooks.example' }, ['/url must be an absolute https URL']],
    [{ url: 'ftp://hooks.example' }, ['/url must be an absolute https URL']],
    [{ url: 'http://hooks.example/in' }, ['/url must be https']],
    [{ url: 'http://127.0.0.1/in' }, ['/url is on a private address']],
    [{ url: 'https://[::ffff:10.0.0.1]/in' }, ['/url is on a private address']],
    [{ url: 'https://169.254.169.254/latest' }, ['/url is on a private address']],
    [{ url: 'https://user:pw@hooks.example/' }, ['/url must not hold credentials']],
    [{ url: 'https://hooks.example/#part' }, ['/url must not have a fragment']],
    [{ url: 'https://hooks.example/', events: [] }, ['/events must name at least one']],
    [{ url: 'https://hooks.example/', events: ['user.sneezed'] }, ['/events/0 is not a type of event']],
    [{ url: 'https://hooks.example/', enabled: 'yes' }, ['/enabled must be true or false']],
    [{ url: 'https://hooks.example/', id: 'mine' }, ['/id is set by the server']],
    [{ url: 'https://hooks.example/', secret: 'mine' }, ['/secret is not a known member']],
  ])('are refused when they are %j', async (document, errors) => {
    expect(await faults(document)).toEqual([422, errors]);
  });

  it('are tried by a signed test message; how it went is told, a disabled one too', async () => {
    const { id, secret } = await create({ enabled: false });
    const test = async () => (await admin.ok('POST', `/webhooks/${id}/test`)).body;
    expect(await test()).toEqual({ delivered: true, status: 204, error: null });
    const [got] = receiver.received;
    expect(verified(secret, present(got))).toMatchObject({
      type: 'webhook.test',
      data: { webhook_id: id },
    });
    receiver.answer = (_request, response) =>
      void response.writeHead(302, { location: `${world.url}/` }).end('secret text');
    expect(await test()).toEqual({ delivered: false, status: 302, error: 'answered 302' });
    await admin.ok('PATCH', `/webhooks/${id}`, { body: { url: 'https://nobody.invalid/' } });
    const { delivered, status, error } = await test();
    expect([delivered, status]).toEqual([false, null]);
    expect(error).toMatch(/^(ENOTFOUND|EAI_AGAIN)$/);
  });

  it('are told at once when a refresh token is used twice', async () => {
    const { secret } = await create({ events: ['token.reuse_detected'] });
    const { refresh_token: first = '' } = await world.tokens(world.web, {
      params: { scope: 'openid orders:read' },
    });
    expect((await world.refresh(world.web, first)).status).toBe(200);
    expect((await world.refresh(world.web, first)).status).toBe(400);
    const got = await arrived('token.reuse_detected');
    const { body } = await admin.ok<Page>('GET', '/audit-events?type=token.reuse_detected');
    const { time, type, ...data } = present(body.data[0]);
    expect(verified(secret, got)).toEqual({ type, timestamp: time, data });
    expect(data).toMatchObject({ client_id: 'web', user_id: world.userId });
    expect(got.body).not.toContain(first);
    expect(receiver.received).toHaveLength(1);
  });

  it('that do not take a message can be looked at, and be sent it again', async () => {
    receiver.answer = (_request, response) => void response.writeHead(500).end('internal detail');
    const { id, secret } = await create({ events: ['user.created'] });
    await admin.ok('POST', '/users', { body: { username: `hooked-${kind}` } });
    await arrived('user.created');
    const messages = async () =>
      (await admin.ok<Page<Doc & { id: string }>>('GET', `/webhooks/${id}/messages`)).body.data;
    await expect.poll(async () => (await messages())[0]?.['error'], PATIENT).toBe('answered 500');
    const [message] = await messages();
    expect(message).toMatchObject({ type: 'user.created', status: 'pending', attempts: 1 });
    expect(JSON.stringify(message)).not.toContain('internal detail');
    receiver.answer = (_request, response) => void response.writeHead(200).end();
    expect((await admin.call('POST', `/webhooks/${id}/messages/msg_none/retry`)).status).toBe(404);
    await admin.ok('POST', `/webhooks/${id}/messages/${message?.id ?? ''}/retry`);
    await expect.poll(messages, PATIENT).toEqual([]);
    const ids = receiver.received.map(({ headers }) => headers['webhook-id']);
    expect([ids.length, new Set(ids).size]).toEqual([2, 1]);
    verified(secret, present(receiver.received[1]));
  });
});
