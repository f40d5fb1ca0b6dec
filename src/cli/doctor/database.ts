/** What the database tells: reachable, migrated, its keys, its clock. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from '../../config/schema.ts';
import { fingerprint } from '../../lib/crypto.ts';
import { StartError } from '../../lib/errors.ts';
import { inspectDatabase, type Inspection } from '../../storage/inspection.ts';
import { fail, ok, warn, type Finding } from './finding.ts';

const DAY = 86_400_000;
/** Milliseconds. Grace is judged by the database's clock, lifetimes by the node's. */
const MAX_SKEW = 1_000;
/** ID tokens and access tokens are signed by these unless a client or an API says otherwise. */
const ALGORITHMS = ['ES256', 'RS256'];

/** @param now epoch milliseconds, asked once the database has answered */
export async function checkDatabase(settings: Settings, now: () => number): Promise<Finding[]> {
  let found: Inspection | undefined;
  try {
    found = await inspectDatabase(settings.databaseUrl);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    const advice = /migration/.test(error.message)
      ? 'Run the release that the database belongs to, or restore a backup.'
      : 'Look at DATABASE_URL, at the database server, and at the network between.';
    return [fail('database', error.message, advice)];
  }
  if (!found)
    return [warn('database', 'there is no database yet', 'A start makes it, or `portcullis migrate`.')];
  const { applied, pending } = found.migrations;
  if (applied.length === 0) {
    return [
      ok('database', `${found.kind} answers`),
      warn('migrations', 'the database is empty', 'A start makes its tables, or `portcullis migrate`.'),
    ];
  }
  return [
    ok('database', `${found.kind} answers`),
    pending.length === 0
      ? ok('migrations', `up to date: ${applied.at(-1) ?? ''}`)
      : warn(
          'migrations',
          `pending: ${pending.join(', ')}`,
          'Back up, then start this release, or `portcullis migrate`.',
        ),
    ...checkSecretKeys(settings, found.wrappedBy),
    ...checkSigningKeys(found.signingKeys, settings.keyRotationDays, now()),
    checkClock(found, now()),
  ];
}

/** Those of the settings; in development those of the data folder, which are not made here. */
function heldKeys({ secretKeys, dataDir }: Settings): readonly Buffer[] {
  const file = join(dataDir, 'secret-keys');
  if (secretKeys.length > 0 || !existsSync(file)) return secretKeys;
  return readFileSync(file, 'utf8')
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((text) => Buffer.from(text, 'base64url'));
}

export function checkSecretKeys(settings: Settings, needed: readonly string[]): Finding[] {
  const held = heldKeys(settings).map(fingerprint);
  const missing = needed.filter((each) => !held.includes(each));
  const idle = held.filter((each) => !needed.includes(each));
  const [first] = held;
  if (missing.length > 0) {
    return [
      fail(
        'secret_keys',
        `the database needs the secret key with fingerprint ${missing.join(', ')}, which is not in the settings`,
        'Add it to PORTCULLIS_SECRET_KEYS, behind the first: without it no server starts.',
      ),
    ];
  }
  if (first !== undefined && idle.includes(first)) {
    return [
      warn(
        'secret_keys',
        `the first one, ${first}, wraps nothing yet`,
        'Once every server has it: `portcullis reseal`.',
      ),
    ];
  }
  if (idle.length > 0) {
    return [
      warn(
        'secret_keys',
        `nothing needs ${idle.join(', ')}`,
        'Take it out of PORTCULLIS_SECRET_KEYS of every server.',
      ),
    ];
  }
  return [ok('secret_keys', `all there: ${needed.join(', ')}`)];
}

/** @param now epoch milliseconds */
export function checkSigningKeys(
  keys: Inspection['signingKeys'],
  rotationDays: number,
  now: number,
): Finding[] {
  const check = 'signing_keys';
  if (keys.length === 0) return [warn(check, 'there are none yet', 'The first start makes them.')];
  const active = keys.filter(({ status }) => status === 'active');
  const lacking = ALGORITHMS.filter((alg) => !active.some((key) => key.alg === alg));
  const findings = lacking.map((alg) =>
    fail(check, `no key of ${alg} signs`, `portcullis keys rotate --alg ${alg}`),
  );
  // The successor of a key that is of age is published first, and signs within a day.
  for (const { kid, alg, createdAt } of active) {
    const days = Math.floor((now - createdAt) / DAY);
    if (days > rotationDays + 1) {
      findings.push(
        warn(
          check,
          `the ${alg} key ${kid} is ${days} days old, and should have been rotated after ${rotationDays}`,
          'A running server rotates by itself: look at its log for `background work failed`, or `portcullis keys rotate`.',
        ),
      );
    }
  }
  return findings.length > 0 ? findings : [ok(check, `active: ${active.map(({ alg }) => alg).join(', ')}`)];
}

/** @param now epoch milliseconds, right after the answer */
export function checkClock({ kind, clock }: Pick<Inspection, 'kind' | 'clock'>, now: number): Finding {
  if (kind === 'sqlite') return ok('clock', 'the database has this machine’s clock');
  const apart = now - clock.now;
  // The answer is somewhere between the question and now.
  const beyond = Math.max(-apart, apart - clock.took);
  if (beyond <= MAX_SKEW) return ok('clock', 'this machine and the database agree to the second');
  return warn(
    'clock',
    `this machine is ${Math.round(Math.abs(apart) / 1000)} s ${apart > 0 ? 'ahead of' : 'behind'} the database`,
    'Let both follow NTP: lifetimes are judged by the one, leases and rotation grace by the other.',
  );
}
