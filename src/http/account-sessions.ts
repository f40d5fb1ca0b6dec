/** `/account/sessions`: the browsers in which somebody is signed in, and signing them out. */
import type { GrantAdministration } from '../grants/administration.ts';
import { PortcullisError } from '../lib/errors.ts';
import { common, visitorOf, type AccountSection } from './account-section.ts';
import { deviceName } from './device-name.ts';
import type { ShowPage } from './pages.ts';
import { single } from './request-body.ts';

/** Sessions that the page lists; "all others" ends those beyond too. */
const MAX_SESSIONS = 200;

export function createSessionsSection({
  show,
  grants,
}: {
  readonly show: ShowPage;
  readonly grants: GrantAdministration;
}): AccountSection {
  const section: AccountSection = {
    async show(visit, notices) {
      const { data } = await grants.sessions({ userId: visit.user.id }, { limit: MAX_SESSIONS });
      const sessions = data
        .map(({ uid, ip, userAgent, createdAt, seenAt }) => ({
          id: uid,
          device: deviceName(userAgent),
          ip,
          since: createdAt,
          seen: seenAt,
          current: uid === visit.session.uid,
        }))
        .sort((a, b) => Number(b.current) - Number(a.current) || b.seen - a.seen);
      show(visit.ctx, { ...common(visit, notices), section: 'sessions', sessions });
    },
    async submit(visit, form) {
      const { session, user } = visit;
      const id = single(form, 'session_id');
      if (single(form, 'others') !== undefined) {
        await grants.endOtherSessions(user.id, session.uid, visitorOf(visit));
        return section.show(visit, [{ kind: 'sessions-ended' }]);
      }
      if (id === undefined || id === session.uid)
        throw new PortcullisError('invalid_request', 400, 'Choose another device.');
      await grants.endSession(id, visitorOf(visit), user.id);
      return section.show(visit, [{ kind: 'session-ended' }]);
    },
  };
  return section;
}
