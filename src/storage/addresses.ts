/** E-mail addresses that somebody has proved to be theirs. */
import type { Clock } from '../lib/clock.ts';
import { PortcullisError } from '../lib/errors.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { ArtifactName, Artifacts } from './artifacts.ts';
import type { Changes } from './changes.ts';
import type { Mails } from './mails.ts';

/** An address that was proved for a user. */
export interface ProvedAddress {
  readonly userId: string;
  readonly email: string;
  /** What the user's address must be still, and the generation, where it matters. */
  readonly from: string | undefined;
  readonly generation?: string | undefined;
  /** Used up with it, and only then. */
  readonly proof: ArtifactName;
  /** A mail that goes out with it. */
  readonly notice?: object | undefined;
}

export interface Addresses {
  /**
   * The address becomes the user's, confirmed: one transaction with its mail and audit row. Atomic: of any number of
   * callers with one proof, one gets true.
   * @returns false when the proof is no longer good, or the user is another by now
   */
  prove(address: ProvedAddress, events: readonly AuditEvent[]): Promise<boolean>;
}

export function createAddresses(
  clock: Clock,
  changes: Changes,
  artifacts: Pick<Artifacts, 'consumeIn'>,
  mails: Pick<Mails, 'addIn'>,
): Addresses {
  // Thrown, so that the transaction is undone and the proof stays.
  const stale = new PortcullisError('stale_proof', 409, 'This is no longer good.');
  return {
    async prove({ userId, email, from = null, generation, proof, notice }, events) {
      const work = changes.typed(async (change) => {
        const { tx } = change;
        if (!(await artifacts.consumeIn(tx, proof))) throw stale;
        const { count } = await tx.user.updateMany({
          where: { id: userId, enabled: true, email: from, ...(generation !== undefined && { generation }) },
          data: {
            email,
            emailVerified: true,
            updatedAt: BigInt(clock.now()),
            version: { increment: 1 },
          },
        });
        if (count === 0) throw stale;
        // Apps match people by a confirmed address: it belongs to one account.
        if ((await tx.user.count({ where: { email, emailVerified: true, id: { not: userId } } })) > 0)
          throw stale;
        if (notice) await mails.addIn(tx, notice);
        for (const event of events) await change.record(event);
        return true;
      });
      return work.catch((error: unknown) => {
        if (error === stale) return false;
        throw error;
      });
    },
  };
}
