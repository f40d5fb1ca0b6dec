/** Ends everything that was issued: after a restore, which revives what was revoked since the backup. */
import { randomId } from '../lib/ids.ts';
import type { Clock } from '../lib/clock.ts';
import type { Changes } from './changes.ts';

/** What has ended. */
export interface Invalidated {
  readonly families: number;
  readonly sessions: number;
}

/** Marks of what was used once. Without them a client's assertion, or an answer of a passkey, would be good again. */
const USED_ONCE = ['ReplayDetection', 'PasskeyChallenge', 'DeviceCodePoll', 'DeviceCodeDecision'];

/**
 * Ends every session, family, code, mailed link and access token, in one transaction with its audit row. JWTs die by
 * the new generations of their client, user or consent. Clients, secrets, users and what they consented to stay.
 * Safe while servers run: they forget what they keep of clients.
 * No client is told by back-channel logout: there may be a million sessions, and every refresh fails from now on.
 * @param reason the dead reason of the families
 */
export const invalidateEverything = (changes: Changes, clock: Clock, reason: string): Promise<Invalidated> =>
  changes.raw(async ({ tx, record, bump }) => {
    const generation = randomId();
    await tx.write('invalidate.clients', 'UPDATE clients SET generation = $1', [generation]);
    await tx.write('invalidate.users', 'UPDATE users SET generation = $1', [generation]);
    await tx.write('invalidate.consents', 'UPDATE consents SET generation = $1', [generation]);
    const families = await tx.write(
      'invalidate.families',
      'UPDATE families SET dead_at = $1, dead_reason = $2 WHERE dead_at IS NULL',
      [clock.now(), reason],
    );
    const sessions = await tx.write('invalidate.sessions', 'DELETE FROM sessions');
    await tx.write(
      'invalidate.artifacts',
      `DELETE FROM artifacts WHERE kind NOT IN (${USED_ONCE.map((kind) => `'${kind}'`).join(', ')})`,
    );
    const ended = { families: families.count, sessions: sessions.count };
    await record({ type: 'server.invalidated', actor: 'system', detail: { reason, ...ended } });
    await bump('clients');
    return ended;
  });
