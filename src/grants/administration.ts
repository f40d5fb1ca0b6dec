/** Grants (families of tokens) and browser sessions: seen and ended by admins, and by the users whose they are. */
import { PortcullisError } from '../lib/errors.ts';
import type { Consents } from '../storage/consents.ts';
import type {
  ConnectedApp,
  GrantFilter,
  GrantLists,
  GrantRecord,
  SessionSummary,
} from '../storage/grant-lists.ts';
import { originOf, type Origin } from '../storage/origin.ts';
import type { Page, PageRequest } from '../storage/pages.ts';
import type { Sessions } from '../storage/sessions.ts';
import type { AuditEvent } from '../telemetry/events.ts';

export interface GrantAdministration {
  /** Living grants. */
  grants(filter: GrantFilter, page: PageRequest): Promise<Page<GrantRecord>>;
  /** Ends one grant and forgets its consent. Idempotent. */
  endGrant(id: string, by: Origin): Promise<void>;
  /** Living sessions. */
  sessions(
    filter: { readonly userId?: string | undefined },
    page: PageRequest,
  ): Promise<Page<SessionSummary>>;
  /**
   * Ends one session; grants that hang on it die. Idempotent.
   * @param ownerId the only user whose session it may be
   * @throws PortcullisError `not_found` (404) when it is somebody else's
   */
  endSession(uid: string, by: Origin, ownerId?: string): Promise<void>;
  /** Ends every session of a user but one. Idempotent. */
  endOtherSessions(userId: string, keepUid: string, by: Origin): Promise<void>;
  /** The apps that a user has allowed anything, most recently used first. */
  connectedApps(userId: string): Promise<ConnectedApp[]>;
  /** The user takes an app's access back: the consent is forgotten, every grant of both dies. Idempotent. */
  disconnect(userId: string, clientId: string, by: Origin): Promise<void>;
}

export function createGrantAdministration(
  lists: GrantLists,
  sessions: Pick<Sessions, 'end' | 'endOthers'>,
  consents: Pick<Consents, 'find' | 'revoke'>,
): GrantAdministration {
  const ended = (uid: string, userId: string, by: Origin): AuditEvent => ({
    type: 'session.revoked',
    ...originOf(by),
    userId,
    detail: { session_id: uid },
  });
  return {
    grants: (filter, page) => lists.grants(filter, page),
    async endGrant(id, by) {
      await lists.endGrant(id, 'admin', (of) => ({
        type: 'grant.revoked',
        ...originOf(by),
        ...of,
        grantId: id,
        detail: { reason: 'admin' },
      }));
    },
    sessions: (filter, page) => lists.sessions(filter, page),
    async endSession(uid, by, ownerId) {
      const session = await lists.session(uid);
      if (!session) return;
      if (ownerId !== undefined && session.userId !== ownerId) {
        throw new PortcullisError('not_found', 404, 'There is no such session.');
      }
      await sessions.end(uid, ended(uid, session.userId, by));
    },
    endOtherSessions: (userId, keepUid, by) =>
      sessions.endOthers(userId, keepUid, (uid) => ended(uid, userId, by)),
    connectedApps: (userId) => lists.connectedApps(userId),
    async disconnect(userId, clientId, by) {
      if (!(await consents.find(userId, clientId))) return;
      await consents.revoke(userId, clientId, {
        type: 'grant.revoked',
        ...originOf(by),
        userId,
        clientId,
        detail: { reason: 'user' },
      });
    },
  };
}
