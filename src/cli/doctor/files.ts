/** Who may read the files that hold secrets. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { adminFile } from '../../config/development.ts';
import { settingsTable } from '../../config/definitions.ts';
import type { Env, Settings } from '../../config/schema.ts';
import { databaseFile } from '../../storage/inspection.ts';
import { fail, ok, warn, type Finding } from './finding.ts';

const OTHERS = 0o007;
const GROUP = 0o070;

/** The permission bits; undefined when there is no such file. */
function modeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mode;
}

export function checkFiles(settings: Settings, env: Env): Finding[] {
  const { dataDir, databaseUrl } = settings;
  const database = databaseFile(databaseUrl);
  const own = [
    dataDir,
    join(dataDir, 'secret-keys'),
    adminFile(dataDir),
    ...(database === undefined ? [] : [database, `${database}-wal`, `${database}-shm`]),
  ];
  // A group may be how an orchestrator hands them over.
  const handed = settingsTable.flatMap(({ name, secret }) => (secret && env[`${name}_FILE`]) || []);
  const findings: Finding[] = [];
  let looked = 0;
  for (const path of [...own, ...handed]) {
    const mode = modeOf(path);
    if (mode === undefined) continue;
    looked += 1;
    const shown = (mode & 0o777).toString(8);
    const advice = `chmod ${path === dataDir ? '700' : '600'} ${path}`;
    if (mode & OTHERS)
      findings.push(fail('files', `${path} is open to everybody on this machine (${shown})`, advice));
    else if (mode & GROUP && !handed.includes(path))
      findings.push(warn('files', `${path} is open to its group (${shown})`, advice));
  }
  return findings.length > 0 ? findings : [ok('files', `${looked} files and folders, closed to others`)];
}
