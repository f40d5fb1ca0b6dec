import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { fingerprint } from '../../src/lib/crypto.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

it('reseal leads from one secret key to the next, and says which is no longer needed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-reseal-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [before, after] = [randomBytes(32), randomBytes(32)];
  const run = async (keys: readonly Buffer[], ...argv: string[]) => {
    const child = spawn(process.execPath, [MAIN, ...argv], {
      env: {
        PATH: process.env['PATH'],
        PORTCULLIS_DATA_DIR: folder,
        PORTCULLIS_KEY_POLL_SECONDS: '1',
        PORTCULLIS_SECRET_KEYS: keys.map((key) => key.toString('base64url')).join(),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    return { code, stdout, stderr };
  };
  await run([before], 'migrate');
  const { code, stdout, stderr } = await run([after, before], 'reseal', '--json');
  expect([code, stderr]).toEqual([0, 'Waiting twice 1 s, until every server knows each step.\n']);
  expect(JSON.parse(stdout)).toMatchObject({
    secret_key: fingerprint(after),
    no_longer_needed: [fingerprint(before)],
    resealed: 0,
    unreadable: 0,
  });
  const refused = await run([before], 'start');
  expect(refused).toMatchObject({ code: 1, stdout: '' });
  expect(refused.stderr).toContain(fingerprint(after));
  expect(refused.stderr).not.toContain(before.toString('base64url'));
  const again = await run([after], 'reseal');
  expect(again).toMatchObject({ code: 0 });
  expect(again.stdout).toBe(`Everything is under the secret key with fingerprint ${fingerprint(after)}.\n`);
}, 90_000);
