/** `portcullis reseal`: to another secret key, while servers are running. */
import { setTimeout } from 'node:timers/promises';
import { secretKeysOf } from '../config/development.ts';
import type { Settings } from '../config/schema.ts';
import { fingerprint } from '../lib/crypto.ts';
import { openStorage } from '../storage/open.ts';
import { reseal } from '../storage/reseal.ts';
import { print, printJson, say, type Terminal } from './terminal.ts';

/**
 * Wraps what the database holds under the first of PORTCULLIS_SECRET_KEYS, and seals it under a new key.
 * @throws StartError in one line
 */
export async function runReseal(
  terminal: Terminal,
  settings: Settings,
  { json }: { readonly json?: true },
): Promise<void> {
  const secretKeys = secretKeysOf(settings);
  const { clock } = terminal;
  const { keyPollSeconds } = settings;
  let told = false;
  const storage = await openStorage({
    url: settings.databaseUrl,
    secretKeys,
    clock,
    listeners: { onEvent: () => {}, onBump: () => {} },
  });
  try {
    const { database, changes, dataKeys } = storage;
    const done = await reseal({
      database,
      changes,
      dataKeys,
      secretKeys,
      clock,
      everyServerKnows: () => {
        if (!told) say(terminal, `Waiting twice ${keyPollSeconds} s, until every server knows each step.`);
        told = true;
        return setTimeout(keyPollSeconds * 1000);
      },
      rest: (milliseconds) => setTimeout(milliseconds),
    });
    const dropped = secretKeys.map(fingerprint).filter((id) => id !== done.secretKey);
    if (json) {
      const { secretKey, sealingKey, resealed, unreadable } = done;
      const shown = { secret_key: secretKey, no_longer_needed: dropped, sealing_key: sealingKey };
      return printJson(terminal, { ...shown, resealed, unreadable });
    }
    print(terminal, `Everything is under the secret key with fingerprint ${done.secretKey}.`);
    if (dropped.length > 0) {
      print(terminal, `No longer needed, once every server runs without: ${dropped.join(', ')}.`);
    }
    if (done.unreadable > 0)
      say(terminal, `${done.unreadable} values were damaged before, and are as they were.`);
  } finally {
    await storage.database.close();
  }
}
