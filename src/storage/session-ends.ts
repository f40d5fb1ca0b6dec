/** What follows the end of a session, in the transaction that ends it: its clients are to be told. */
import type { Clock } from '../lib/clock.ts';
import { SealError } from '../lib/crypto.ts';
import { createSortableIds } from '../lib/ids.ts';
import type { DataKeys } from './data-keys.ts';
import type { Prisma } from './generated/postgresql/client.ts';
import { ADD_NOTICE, NOTICE_TTL } from './logout-notices.ts';
import { sealContext } from './sealed-columns.ts';
import type { Sql } from './sql.ts';

/** A session's row, as the statement that took it away returned it. */
export interface EndedSession {
  readonly uid: string;
  readonly userId: string | null;
  readonly payload: Uint8Array;
}

/** Columns of an `EndedSession`. */
export const ENDED = `uid, user_id AS "userId", payload`;

export interface SessionEnds {
  /**
   * Adds a notice for each client of these sessions that has a `backchannel_logout_uri`.
   * @param tx the transaction that took the sessions away
   * @returns ids of these clients, each once
   */
  tell(tx: Sql, ended: readonly EndedSession[]): Promise<string[]>;
  /** Ends every session of a user but `keepUid`, and tells; returns as `tell` does. */
  ofUser(tx: Prisma.TransactionClient, userId: string, keepUid?: string): Promise<string[]>;
}

/** A client of a session: the `sid` that its ID tokens had. */
interface Part {
  readonly userId: string;
  readonly clientId: string;
  readonly sid: string;
}

interface ClientRow {
  readonly id: string;
  readonly metadata: string;
}

export function createSessionEnds(keys: DataKeys, clock: Clock): SessionEnds {
  const nextId = createSortableIds();

  /** The clients that took part. A session that cannot be read, for want of a key, ends all the same. */
  async function partsOf({ uid, userId, payload }: EndedSession): Promise<Part[]> {
    if (userId === null) return [];
    try {
      const opened = (await keys.open(payload, sealContext.session(uid))).toString('utf8');
      const { authorizations = {} } = JSON.parse(opened) as {
        authorizations?: Record<string, { sid?: string }>;
      };
      return Object.entries(authorizations).flatMap(([clientId, { sid }]) =>
        sid === undefined ? [] : [{ userId, clientId, sid }],
      );
    } catch (error) {
      if (error instanceof SealError) return [];
      throw error;
    }
  }

  const wantsNotice = ({ metadata }: ClientRow): boolean =>
    (JSON.parse(metadata) as { backchannel_logout_uri?: string }).backchannel_logout_uri !== undefined;

  const noticesOf = (parts: readonly Part[], clients: readonly ClientRow[]) => {
    const told = new Set(clients.filter(wantsNotice).map(({ id }) => id));
    const now = clock.now();
    return parts
      .filter(({ clientId }) => told.has(clientId))
      .map(({ userId, clientId, sid }) => ({
        id: nextId(now),
        clientId,
        userId,
        sid,
        attempts: 0,
        dueAt: BigInt(now),
        expiresAt: BigInt(now + NOTICE_TTL),
      }));
  };

  const partsOfAll = async (ended: readonly EndedSession[]): Promise<Part[]> =>
    (await Promise.all(ended.map(partsOf))).flat();
  const idsIn = (parts: readonly { readonly clientId: string }[]): string[] => [
    ...new Set(parts.map(({ clientId }) => clientId)),
  ];

  return {
    async tell(tx, ended) {
      const parts = await partsOfAll(ended);
      const clients: ClientRow[] = [];
      for (const id of idsIn(parts)) {
        const text = 'SELECT id, metadata FROM clients WHERE id = $1 AND enabled';
        clients.push(...(await tx.read<ClientRow>('session-ends.client', text, [id])));
      }
      const notices = noticesOf(parts, clients);
      for (const notice of notices) await tx.write('logout-notices.add', ADD_NOTICE, Object.values(notice));
      return idsIn(notices);
    },
    async ofUser(tx, userId, keepUid = '') {
      // Not `deleteMany`: what a parallel request has just added to a session is told too.
      const ended = await tx.$queryRaw<EndedSession[]>`
        DELETE FROM sessions WHERE user_id = ${userId} AND uid <> ${keepUid}
        RETURNING uid, user_id AS "userId", payload`;
      const parts = await partsOfAll(ended);
      if (parts.length === 0) return [];
      const select = { id: true, metadata: true };
      const clients = await tx.client.findMany({
        where: { id: { in: idsIn(parts) }, enabled: true },
        select,
      });
      const notices = noticesOf(parts, clients);
      if (notices.length > 0) await tx.logoutNotice.createMany({ data: notices });
      return idsIn(notices);
    },
  };
}
