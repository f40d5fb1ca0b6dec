/** Families and sessions as people see them: lists of what is alive, and ending one. */
import type { Clock } from '../lib/clock.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import { ALIVE, ALIVE_JOINS, aliveParam } from './alive.ts';
import type { Changes } from './changes.ts';
import { mergeScopes, type ConsentScopes } from './consents.ts';
import type { DataKeys } from './data-keys.ts';
import type { Database } from './database.ts';
import { afterText, toPage, type Page, type PageRequest } from './pages.ts';
import { sealContext } from './sealed-columns.ts';

/** A family that lives and has had its first token; instants are epoch milliseconds. */
export interface GrantRecord {
  readonly id: string;
  readonly userId: string;
  readonly clientId: string;
  readonly scopes: ConsentScopes;
  /** Set when the family ends with its browser session. */
  readonly sessionUid: string | undefined;
  readonly createdAt: number;
  readonly lastUsedAt: number;
  /** The latest moment at which it ends by itself when nobody uses it. */
  readonly expiresAt: number;
}

/** A signed-in browser; instants are epoch milliseconds. */
export interface SessionSummary {
  readonly uid: string;
  readonly userId: string;
  readonly ip: string | undefined;
  readonly userAgent: string | undefined;
  readonly createdAt: number;
  readonly seenAt: number;
  readonly expiresAt: number;
}

/** What a user has allowed one client; instants are epoch milliseconds. */
export interface ConnectedApp {
  readonly clientId: string;
  readonly scopes: ConsentScopes;
  readonly since: number;
  /** Undefined when only the consent is left. */
  readonly lastUsedAt: number | undefined;
}

/** Whose grants; all when left out. */
export interface GrantFilter {
  readonly userId?: string | undefined;
  readonly clientId?: string | undefined;
}

export interface GrantLists {
  /** Living families, in the order of their ids, which are random: a list of any length costs the same a page. */
  grants(filter: GrantFilter, page: PageRequest): Promise<Page<GrantRecord>>;
  /** Ends one family and forgets the scopes of its consent; other families of both live on. Atomic; false: it had ended. */
  endGrant(
    id: string,
    reason: string,
    event: (of: { readonly userId: string; readonly clientId: string }) => AuditEvent,
  ): Promise<boolean>;
  /** Living sessions with a user, in the order of their uids. */
  sessions(
    filter: { readonly userId?: string | undefined },
    page: PageRequest,
  ): Promise<Page<SessionSummary>>;
  /** One living session. */
  session(uid: string): Promise<SessionSummary | undefined>;
  /** The clients that a user has allowed anything, most recently used first. */
  connectedApps(userId: string): Promise<ConnectedApp[]>;
}

/** Families of one user that the account page looks at: the ones used last. */
const MAX_FAMILIES = 500;

interface FamilyRow {
  readonly id: string;
  readonly userId: string;
  readonly clientId: string;
  readonly sessionUid: string | null;
  readonly grantPayload: Uint8Array;
  readonly createdAt: number;
  readonly usedAt: number;
  readonly endsAt: number;
  readonly idleEndsAt: number | null;
}

type SessionRow = { readonly [K in keyof SessionSummary]: SessionSummary[K] | null };

const FAMILIES = `SELECT f.id, f.user_id AS "userId", f.client_id AS "clientId", f.session_uid AS "sessionUid",
    f.grant_payload AS "grantPayload", f.created_at AS "createdAt", f.used_at AS "usedAt", f.ends_at AS "endsAt",
    f.idle_ends_at AS "idleEndsAt"
  FROM families f ${ALIVE_JOINS}
  WHERE ${ALIVE} AND f.used_at IS NOT NULL AND f.ends_at > $2 AND (f.idle_ends_at IS NULL OR f.idle_ends_at > $2)`;

const SESSIONS = `SELECT s.uid, s.user_id AS "userId", s.ip, s.user_agent AS "userAgent", s.created_at AS "createdAt",
    s.seen_at AS "seenAt", s.expires_at AS "expiresAt"
  FROM sessions s JOIN users u ON u.id = s.user_id
  WHERE s.expires_at > $2 AND u.enabled AND u.generation = s.user_generation`;

/** The engine's grant: OIDC scopes apart, API scopes by resource. */
interface GrantPayload {
  readonly openid?: { readonly scope?: string };
  readonly resources?: Readonly<Record<string, string>>;
}

const words = (scope: string | undefined): string[] => scope?.split(' ').filter(Boolean) ?? [];

function scopesOf({ openid, resources = {} }: GrantPayload): ConsentScopes {
  const scopes = Object.entries({ '': openid?.scope, ...resources });
  return Object.fromEntries(
    scopes.map(([api, scope]) => [api, words(scope)] as const).filter(([, names]) => names.length > 0),
  );
}

export function createGrantLists(
  { sql }: Database,
  keys: DataKeys,
  clock: Clock,
  changes: Changes,
): GrantLists {
  const grantScopes = async ({ id, grantPayload }: FamilyRow): Promise<ConsentScopes> => {
    const opened = await keys.open(grantPayload, sealContext.familyGrant(id));
    return scopesOf(JSON.parse(opened.toString('utf8')) as GrantPayload);
  };
  const grant = async (row: FamilyRow): Promise<GrantRecord> => ({
    id: row.id,
    userId: row.userId,
    clientId: row.clientId,
    scopes: await grantScopes(row),
    sessionUid: row.sessionUid ?? undefined,
    createdAt: row.createdAt,
    lastUsedAt: row.usedAt,
    expiresAt: Math.min(row.endsAt, row.idleEndsAt ?? row.endsAt),
  });
  const session = (row: SessionRow): SessionSummary => ({
    ...(row as SessionSummary),
    ip: row.ip ?? undefined,
    userAgent: row.userAgent ?? undefined,
  });
  return {
    async grants({ userId, clientId }, page) {
      const filters: [column: string, value: string][] = [];
      if (userId !== undefined) filters.push(['user_id', userId]);
      if (clientId !== undefined) filters.push(['client_id', clientId]);
      const where = filters.map(([column], index) => ` AND f.${column} = $${index + 4}`).join('');
      const rows = await sql.read<FamilyRow>(
        ['grants.list', ...filters.map(([column]) => column)].join('.'),
        `${FAMILIES} AND f.id > $1${where} ORDER BY f.id LIMIT $3`,
        [afterText(page) ?? '', aliveParam(clock), page.limit + 1, ...filters.map(([, value]) => value)],
      );
      return toPage(await Promise.all(rows.map(grant)), page.limit, ({ id }) => [id]);
    },
    endGrant: (id, reason, event) =>
      changes.raw(async (change) => {
        const { rows } = await change.tx.write<{ userId: string; clientId: string }>(
          'grants.end',
          `UPDATE families SET dead_at = $2, dead_reason = $3 WHERE id = $1 AND dead_at IS NULL
           RETURNING user_id AS "userId", client_id AS "clientId"`,
          [id, clock.now(), reason],
        );
        const [family] = rows;
        if (!family) return false;
        await change.tx.write(
          'consents.forget',
          `UPDATE consents SET scopes = '{}', updated_at = $3 WHERE user_id = $1 AND client_id = $2`,
          [family.userId, family.clientId, clock.now()],
        );
        await change.record(event(family));
        return true;
      }),
    async sessions({ userId }, page) {
      const rows = await sql.read<SessionRow>(
        userId === undefined ? 'sessions.list' : 'sessions.list.user',
        `${SESSIONS} AND s.uid > $1${userId === undefined ? '' : ' AND s.user_id = $4'} ORDER BY s.uid LIMIT $3`,
        [afterText(page) ?? '', clock.now(), page.limit + 1, ...(userId === undefined ? [] : [userId])],
      );
      return toPage(rows.map(session), page.limit, ({ uid }) => [uid]);
    },
    async session(uid) {
      const [row] = await sql.read<SessionRow>('sessions.one', `${SESSIONS} AND s.uid = $1`, [
        uid,
        clock.now(),
      ]);
      return row && session(row);
    },
    async connectedApps(userId) {
      const [consents, families] = await Promise.all([
        sql.read<{ clientId: string; scopes: string; since: number }>(
          'consents.of-user',
          `SELECT client_id AS "clientId", scopes, created_at AS since FROM consents WHERE user_id = $1`,
          [userId],
        ),
        sql.read<FamilyRow>(
          'grants.of-user',
          `${FAMILIES} AND f.user_id = $1 ORDER BY f.used_at DESC, f.id LIMIT ${MAX_FAMILIES}`,
          [userId, aliveParam(clock)],
        ),
      ]);
      const byClient = Map.groupBy(families, ({ clientId }) => clientId);
      const apps = consents.map(async ({ clientId, scopes, since }): Promise<ConnectedApp> => {
        const used = byClient.get(clientId) ?? [];
        const inUse = await Promise.all(used.map(grantScopes));
        const granted = inUse.reduce(mergeScopes, JSON.parse(scopes) as ConsentScopes);
        return { clientId, scopes: granted, since, lastUsedAt: used[0]?.usedAt };
      });
      return (await Promise.all(apps))
        .filter(({ lastUsedAt, scopes }) => lastUsedAt !== undefined || Object.keys(scopes).length > 0)
        .sort((a, b) => (b.lastUsedAt ?? b.since) - (a.lastUsedAt ?? a.since));
    },
  };
}
