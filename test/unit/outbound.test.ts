import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isPublicAddress } from '../../src/delivery/addresses.ts';
import { createOutbound, OutboundError, type OutboundOptions } from '../../src/delivery/outbound.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';

describe('addresses', () => {
  it.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.51.100.7',
    '203.0.113.7',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '::ffff:7f00:1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::1',
    '3fff::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fe80::1%eth0',
    'ff02::1',
    'localhost',
    '',
  ])('%s is not public', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  it.each([
    '1.1.1.1',
    '100.63.255.255',
    '172.15.255.255',
    '172.32.0.1',
    '192.0.1.1',
    '223.255.255.255',
    '2606:4700::1111',
    '2001:4860:4860::8888',
    '2a00:1450::1',
    '64:ff9b::1.1.1.1',
  ])('%s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });
});

describe('an outbound request', () => {
  let receiver: Receiver;
  beforeEach(async () => void (receiver = await startReceiver()));
  afterEach(() => receiver.close());
  const port = () => receiver.host.split(':')[1] ?? '';
  const outbound = (options: Partial<OutboundOptions> = {}) =>
    createOutbound({ fetchAllow: [receiver.host], ...options });
  const refusal = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
    } catch (error) {
      if (error instanceof OutboundError) return error.message;
      throw error;
    }
    return 'not refused';
  };

  it('carries method, headers and body, and brings back status, headers and body', async () => {
    receiver.answer = (_request, response) =>
      void response.writeHead(201, { 'content-type': 'text/plain', 'x-more': '1' }).end('made');
    const answer = await outbound()(receiver.url, {
      method: 'POST',
      headers: { 'x-own': 'yes' },
      body: new URLSearchParams({ a: 'ü' }),
    });
    expect([answer.status, answer.headers.get('x-more'), await answer.text()]).toEqual([201, '1', 'made']);
    expect(receiver.received).toMatchObject([{ method: 'POST', path: '/hook', body: 'a=%C3%BC' }]);
    expect(receiver.received[0]?.headers).toMatchObject({
      host: receiver.host,
      'x-own': 'yes',
      'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
      'content-length': '8',
    });
  });

  it.each([
    ['a private address', () => `https://127.0.0.1:${port()}/`, 'private'],
    ['a private address in another spelling', () => `https://0x7f000001:${port()}/`, 'private'],
    ['a private IPv6 address', () => `https://[::1]:${port()}/`, 'private'],
    ['a name of a private address', () => `https://localhost:${port()}/`, 'private'],
    ['http', () => `http://localhost:${port()}/`, 'only https'],
    ['another protocol', () => 'ftp://ftp.example/', 'only https'],
  ])('to %s is refused', async (_what, url, reason) => {
    const fetch = outbound({ fetchAllow: [] });
    expect(await refusal(fetch(url()))).toContain(reason);
    expect(receiver.received).toEqual([]);
  });

  it('to a host that the setting names goes to its private address, over http too', async () => {
    const fetch = outbound({ fetchAllow: ['localhost'] });
    expect((await fetch(`http://localhost:${port()}/`)).status).toBe(204);
    expect(await refusal(outbound()(`http://localhost:${port()}/`))).toContain('only https');
  });

  it('goes to the addresses that were checked: the name is resolved once', async () => {
    const name = `pinned.invalid:${port()}`; // no resolver knows it: only what was checked can lead here
    const asked: string[] = [];
    const fetch = outbound({
      fetchAllow: [name],
      resolve: (host) => Promise.resolve(asked.push(host) === 1 ? ['127.0.0.1'] : ['192.0.2.1']),
    });
    expect((await fetch(`http://${name}/`)).status).toBe(204);
    expect(asked).toEqual(['pinned.invalid']);
    expect(receiver.received[0]?.headers.host).toBe(name);
  });

  it('follows no redirect', async () => {
    receiver.answer = (_request, response) => void response.writeHead(307, { location: '/other' }).end();
    expect((await outbound()(receiver.url)).status).toBe(307);
    expect(receiver.received).toHaveLength(1);
  });

  it.each([
    ['before its head', () => {}],
    [
      'in its body',
      (response: { writeHead(status: number): { write(text: string): unknown } }) =>
        void response.writeHead(200).write('begun'),
    ],
  ] as const)('that gets no answer in time ends, %s', async (_where, begin) => {
    receiver.answer = (_request, response) => begin(response);
    expect(await refusal(outbound({ timeout: 100 })(receiver.url))).toBe('no answer in time');
  });

  it('ends when its caller gives up, and when a name is never found', async () => {
    receiver.answer = () => {};
    const signal = AbortSignal.timeout(50);
    expect(await refusal(outbound()(receiver.url, { signal }))).toBe('no answer in time');
    const never = outbound({ resolve: () => new Promise(() => {}), timeout: 50 });
    expect(await refusal(never('https://never.example/'))).toBe('no answer in time');
  });

  it('reads no more of an answer than its limit', async () => {
    receiver.answer = (_request, response) => void response.writeHead(200).end('x'.repeat(2000));
    expect(await refusal(outbound({ maxBytes: 1999 })(receiver.url))).toBe(
      'the answer is larger than 1999 bytes',
    );
    expect((await (await outbound({ maxBytes: 2000 })(receiver.url)).text()).length).toBe(2000);
  });

  it('that fails says why in a word, and nothing of the answer', async () => {
    await receiver.close();
    expect(await refusal(outbound()(receiver.url))).toBe('ECONNREFUSED');
    receiver = await startReceiver();
    const unknown = outbound({
      resolve: () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' })),
    });
    expect(await refusal(unknown('https://unknown.example/'))).toBe('ENOTFOUND');
    expect(await refusal(outbound()(receiver.url.replace('//', '//user:pw@')))).toContain('credentials');
  });
});
