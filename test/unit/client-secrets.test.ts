import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseDocument } from '../../src/clients/documents.ts';
import {
  expireOldAt,
  rotationSchema,
  secretPatchSchema,
  secretSchema,
} from '../../src/clients/secret-schema.ts';
import { createSecretUse } from '../../src/clients/secret-use.ts';
import { matchSecret, newSecret, withStatus } from '../../src/clients/secrets.ts';
import { keyedHash } from '../../src/lib/crypto.ts';
import type { PortcullisError } from '../../src/lib/errors.ts';
import type { SecretRecord } from '../../src/storage/client-secrets.ts';
import type { DataKeys } from '../../src/storage/data-keys.ts';

const [current, old] = [randomBytes(32), randomBytes(32)];
const keys = {
  hash: (kind: string, id: string) => keyedHash(current, kind, id),
  hashes: (kind: string, id: string) => [current, old].map((key) => keyedHash(key, kind, id)),
} as DataKeys;
const NOW = 1_000_000;

const record = (over: Partial<SecretRecord> = {}): SecretRecord => ({
  id: 'id',
  clientId: 'web',
  name: undefined,
  hint: 'hint',
  hash: randomBytes(32),
  createdAt: 0,
  expiresAt: undefined,
  revokedAt: undefined,
  lastUsedAt: undefined,
  ...over,
});

describe('client secrets', () => {
  it('are 256 random bits, of which only a keyed hash and four characters are kept', () => {
    const { value, secret } = newSecret('web', keys, NOW);
    expect(value).toMatch(/^pcs_[\w-]{43}$/);
    expect(newSecret('web', keys, NOW).value).not.toBe(value);
    expect(secret.hint).toBe(value.slice(-4));
    expect(JSON.stringify(secret)).not.toContain(value.slice(4, 20));
  });

  it('match while they are live, of their own client, under every hash key', () => {
    const { value, secret } = newSecret('web', keys, NOW);
    const match = (over: Partial<SecretRecord>, now = NOW, id = 'web', presented = value) =>
      matchSecret({ id, secrets: [record(), record({ ...secret, ...over })] }, presented, keys, now)?.id;
    expect(match({})).toBe(secret.id);
    expect(match({ expiresAt: NOW + 1 })).toBe(secret.id);
    expect(match({ expiresAt: NOW })).toBeUndefined();
    expect(match({ revokedAt: NOW })).toBeUndefined();
    expect(match({}, NOW, 'other')).toBeUndefined();
    expect(match({}, NOW, 'web', `${value}x`)).toBeUndefined();
    expect(match({ hash: keyedHash(old, 'client secret', `web:${value}`) })).toBe(secret.id);
    expect(matchSecret(undefined, value, keys, NOW)).toBeUndefined();
    expect(matchSecret({ id: 'web', secrets: [] }, '', keys, NOW)).toBeUndefined();
  });

  it('show what they are: the newest is active until its end, older ones with an end retire', () => {
    const statuses = (...secrets: Partial<SecretRecord>[]) =>
      withStatus(secrets.map(record), NOW).map(({ status }) => status);
    expect(statuses({ expiresAt: NOW + 1 }, {})).toEqual(['retiring', 'active']);
    expect(statuses({}, { expiresAt: NOW + 1 })).toEqual(['active', 'active']);
    expect(statuses({ expiresAt: NOW + 1 }, { expiresAt: NOW })).toEqual(['active', 'expired']);
    expect(statuses({ revokedAt: 1, expiresAt: NOW + 1 }, { expiresAt: 1 })).toEqual(['revoked', 'expired']);
  });
});

describe('the documents of secrets', () => {
  it.each([
    ['now', NOW],
    ['0m', NOW],
    ['30m', NOW + 1_800_000],
    ['24h', NOW + 86_400_000],
    ['7d', NOW + 604_800_000],
    ['1970-01-01T01:00:00Z', 3_600_000],
    ['1970-01-01T01:00:00.5+00:30', 1_800_500],
    ['1970-01-01T00:00:00Z', NOW], // has passed: now
  ])('take expire_old %s', (text, at) => {
    const { expire_old: expireOld } = parseDocument(rotationSchema, { expire_old: text });
    expect(expireOldAt(expireOld, NOW)).toBe(at);
  });

  it('let old secrets live for a day unless told otherwise', () => {
    expect(parseDocument(rotationSchema, {})).toEqual({ expire_old: '24h' });
  });

  it.each([
    [rotationSchema, { expire_old: '' }, '/expire_old'],
    [rotationSchema, { expire_old: '5s' }, '/expire_old'],
    [rotationSchema, { expire_old: '-5m' }, '/expire_old'],
    [rotationSchema, { expire_old: '1.5h' }, '/expire_old'],
    [rotationSchema, { expire_old: '999999d' }, '/expire_old'],
    [rotationSchema, { expire_old: 3600 }, '/expire_old'],
    [rotationSchema, { expire_old: null }, '/expire_old'],
    [rotationSchema, { expire_old: '2030-02-30T00:00:00Z' }, '/expire_old'],
    [rotationSchema, { expire_old: '2030-01-01' }, '/expire_old'],
    [rotationSchema, { name: '' }, '/name'],
    [rotationSchema, { value: 'mine' }, '/value'],
    [secretSchema, { name: 'x'.repeat(101) }, '/name'],
    [secretSchema, { name: 'a\u0000b' }, '/name'],
    [secretSchema, { expires_at: 'tomorrow' }, '/expires_at'],
    [secretSchema, { expires_at: '2030-01-01T00:00:00' }, '/expires_at'],
    [secretPatchSchema, { revoked: true }, '/revoked'],
    [secretSchema, 'text', ''],
    [secretSchema, null, ''],
  ])('refuse %# with a pointer', (schema, document, pointer) => {
    let refused: unknown;
    try {
      parseDocument(schema, document);
    } catch (error) {
      refused = error;
    }
    const { code, status, details } = refused as PortcullisError;
    expect([code, status, details.errors?.[0]?.pointer]).toEqual(['invalid_document', 422, pointer]);
  });
});

describe('the use of secrets', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const setUp = (fail?: Error) => {
    const time = { now: NOW };
    const written: [string, number][][] = [];
    const errors: unknown[] = [];
    const use = createSecretUse(
      {
        async noteUse(used) {
          if (fail) throw fail;
          written.push([...used]);
        },
      },
      { now: () => time.now },
      { onError: (error) => errors.push(error) },
    );
    return { time, written, errors, use };
  };

  it('is written a second later, in one batch, each secret once a minute', async () => {
    const { time, written, use } = setUp();
    use.used('web', 'a');
    use.used('web', 'b');
    use.used('web', 'a');
    expect(written).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(written).toEqual([
      [
        ['a', NOW],
        ['b', NOW],
      ],
    ]);
    time.now += 59_999;
    use.used('web', 'a');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(written).toHaveLength(1);
    time.now += 1;
    use.used('web', 'a');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(written[1]).toEqual([['a', NOW + 60_000]]);
  });

  it('is written on the way down', async () => {
    const { written, use } = setUp();
    use.used('web', 'a');
    await use.close();
    expect(written).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(written).toHaveLength(1);
  });

  it('disturbs nobody when it cannot be written', async () => {
    const { errors, use } = setUp(new Error('no database'));
    use.used('web', 'a');
    await vi.advanceTimersByTimeAsync(1_000);
    await use.close();
    expect(errors).toEqual([new Error('no database')]);
  });
});
