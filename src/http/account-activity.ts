/** `/account/activity`: what happened to an account, from the audit log, in words; and what its owner must be told. */
import type { Context } from 'koa';
import type { ClientRegistry } from '../clients/registry.ts';
import type { Clock } from '../lib/clock.ts';
import type { AuditLog, AuditRecord } from '../storage/audit.ts';
import { common, type AccountSection } from './account-section.ts';
import type { ShowPage } from './pages.ts';
import { WRONG_PASSKEY } from './passkey-step.ts';
import { WRONG_PASSWORD } from './sign-in.ts';
import type { ActivityKind, ActivityView, ReplayView } from './views.ts';

/** Events on the page. */
const MAX_EVENTS = 50;
/** Milliseconds that a notice about a replay stays, unless it is read before. */
const NOTICE_LIFE = 30 * 24 * 3600 * 1000;
/** The newest notice that this browser's owner has read. */
const COOKIE = 'portcullis_read';

const REPLAYS = ['token.reuse_detected', 'code.reuse_detected'] as const;

export interface ActivityDependencies {
  readonly show: ShowPage;
  readonly basePath: string;
  readonly clock: Clock;
  readonly clients: ClientRegistry;
  readonly audit: AuditLog;
}

export interface Activity extends AccountSection {
  /** Apps whose access we ended because a token or a code was used twice, as long as it was not read of. */
  replays(ctx: Context, userId: string): Promise<ReplayView[]>;
}

/** What an event is called on the page; undefined for one that says nothing to people. */
function activityKind({ type, detail, actor, userId, clientId }: AuditRecord): ActivityKind | undefined {
  const own = actor === `user:${userId}`;
  switch (type) {
    case 'login.succeeded':
      return clientId === undefined ? 'signed-in' : 'signed-in-to';
    case 'login.failed':
      if (detail['reason'] === WRONG_PASSKEY) return 'wrong-passkey';
      return detail['reason'] === WRONG_PASSWORD ? 'wrong-password' : 'wrong-second-factor';
    case 'logout.completed':
      return 'signed-out';
    case 'session.revoked':
      return own ? 'session-ended' : 'session-ended-by-admin';
    case 'consent.granted':
      return 'allowed';
    case 'consent.denied':
      return 'refused';
    case 'grant.created':
      return 'connected';
    case 'grant.revoked':
      return own ? 'removed' : 'disconnected';
    case 'token.revoked':
      return 'gave-back';
    case 'token.reuse_detected':
    case 'code.reuse_detected':
      return 'replayed';
    case 'user.password_changed':
      return detail['by'] === 'user' ? 'password-changed' : 'password-changed-by-admin';
    case 'user.created':
      return 'created';
    case 'user.updated': {
      const changed = detail['changed'] as readonly string[];
      return own && changed.includes('email') ? 'email-changed' : 'updated';
    }
    case 'user.email_change_requested':
      return 'email-asked';
    case 'user.enabled':
      return 'enabled';
    case 'user.disabled':
      return 'disabled';
    case 'user.revoked':
      return 'revoked';
    case 'user.second_factor_added':
      return 'factor-added';
    case 'user.second_factor_removed':
      return own ? 'factor-removed' : 'factors-reset';
    case 'user.recovery_codes_renewed':
      return 'recovery-codes';
    case 'user.recovery_code_used':
      return 'recovery-code-used';
    default:
      return undefined;
  }
}

export function createActivity({ show, basePath, clock, clients, audit }: ActivityDependencies): Activity {
  const nameOf = async (clientId: string): Promise<string> =>
    (await clients.get(clientId))?.metadata.client_name ?? clientId;
  const view = async (record: AuditRecord): Promise<ActivityView[]> => {
    const kind = activityKind(record);
    if (kind === undefined) return [];
    const { time, ip, actor, userId, clientId } = record;
    return [
      {
        kind,
        time,
        // An admin's or an app's address is none of the user's business.
        ip: actor === `user:${userId}` ? ip : undefined,
        client: clientId === undefined ? undefined : await nameOf(clientId),
      },
    ];
  };
  const read = (ctx: Context): string => ctx.cookies.get(COOKIE, { signed: true }) ?? '';
  const unread = async (ctx: Context, userId: string): Promise<AuditRecord[]> => {
    const since = clock.now() - NOTICE_LIFE;
    const pages = await Promise.all(
      REPLAYS.map((type) => audit.list({ type, userId, since }, { limit: MAX_EVENTS })),
    );
    return pages
      .flatMap(({ data }) => data)
      .filter(({ id }) => id > read(ctx))
      .sort((a, b) => (a.id < b.id ? 1 : -1));
  };
  return {
    async show(visit, notices) {
      const { data } = await audit.list({ userId: visit.user.id }, { limit: MAX_EVENTS });
      const events = (await Promise.all(data.map(view))).flat();
      show(visit.ctx, { ...common(visit, notices), section: 'activity', events });
    },
    /** The notices were read. */
    async submit({ ctx, user, action }) {
      const [newest] = await unread(ctx, user.id);
      if (newest) {
        const expires = new Date(clock.now() + NOTICE_LIFE);
        const path = `${basePath}/account`;
        ctx.cookies.set(COOKIE, newest.id, {
          signed: true,
          httpOnly: true,
          sameSite: 'lax',
          path,
          expires,
        });
      }
      ctx.redirect(action);
      ctx.status = 303;
    },
    async replays(ctx, userId) {
      const records = await unread(ctx, userId);
      const newest = Map.groupBy(records, ({ clientId }) => clientId ?? '');
      return Promise.all(
        [...newest].map(async ([clientId, [record]]) => ({
          client: await nameOf(clientId),
          time: record?.time ?? 0,
        })),
      );
    },
  };
}
