import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

/** On SQLite only, to stay cheap: a release is checked by hand, on both. */
const check = (release: string) => {
  const { TEST_DATABASE_URL: _without, ...env } = process.env;
  const args = ['--disable-warning=ExperimentalWarning', 'scripts/old-code-new-schema.ts', release];
  return run(process.execPath, args, { cwd: ROOT, env });
};

describe.runIf(existsSync(`${ROOT}.git`))('the check of an earlier release on the schema of this one', () => {
  it('runs its code before, after and beside the migration', async () => {
    const { stdout } = await check('HEAD');
    expect(stdout.match(/the whole flow works/g)).toHaveLength(3);
  }, 180_000);

  it('fails when there is no such release, and leaves nothing behind', async () => {
    await expect(check('no-such-tag')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no-such-tag'),
    });
    const { stdout } = await run('git', ['worktree', 'list', '--porcelain'], { cwd: ROOT });
    expect(stdout).not.toContain('portcullis-release-');
  }, 30_000);
});
