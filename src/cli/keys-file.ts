/** `portcullis keys-file generate`. */
import { writeFileSync } from 'node:fs';
import { randomId } from '../lib/ids.ts';
import { codeOf, Failure } from './failure.ts';
import { print, say, type Terminal } from './terminal.ts';

/**
 * Makes a secret key, 32 bytes in base64url: into a new file of mode 0600, or else to standard output.
 * @throws Failure when the file is there already: overwriting a secret key may lose everything that it wraps
 */
export function generateKeysFile(terminal: Terminal, file?: string): void {
  const key = randomId(32);
  if (file === undefined) {
    print(terminal, key);
    return;
  }
  try {
    writeFileSync(file, `${key}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'EEXIST') throw new Failure(`${file} cannot be written (${code})`);
    throw new Failure(`${file} exists, and is not overwritten`, [
      'To add a key, put it in front of the others, with a comma between.',
    ]);
  }
  say(
    terminal,
    `A secret key is in ${file}. Keep a copy apart from the database: without it the database is lost.`,
  );
}
