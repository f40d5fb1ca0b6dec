/** `/account/factors`: setting up an authenticator app, its recovery codes, and removing both. */
import { SealError } from '../lib/crypto.ts';
import { PortcullisError } from '../lib/errors.ts';
import { ACR_MFA } from '../provider/acr.ts';
import type { Confirm, ConfirmDependencies } from './account-confirm.ts';
import { common, visitorOf, type AccountSection, type Visit } from './account-section.ts';
import { qrPath } from './qr-path.ts';
import { single, type Form } from './request-body.ts';
import type { AccountNotice, AccountSetUpPage } from './views.ts';

/** Milliseconds that a secret may wait for its first code. */
const SET_UP = 15 * 60_000;

export function createFactorsSection(deps: ConfirmDependencies, confirm: Confirm): AccountSection {
  const { show, secondFactors, dataKeys, clock, browserSessions } = deps;
  const context = ({ subject }: Visit): string => `totp-setup:${subject}`;
  const sealSetup = (visit: Visit, secret: Buffer): string => {
    const until = clock.now() + SET_UP;
    const sealed = JSON.stringify({ secret: secret.toString('base64url'), until });
    return dataKeys.seal(sealed, context(visit)).toString('base64url');
  };
  /** The secret that the form's page was made with: it was given to this session, and not long ago. */
  const openSetup = async (visit: Visit, form: Form): Promise<Buffer | undefined> => {
    try {
      const sealed = Buffer.from(single(form, 'setup') ?? '', 'base64url');
      const opened = await dataKeys.open(sealed, context(visit));
      const { secret, until } = JSON.parse(opened.toString('utf8')) as { secret: string; until: number };
      return until < clock.now() ? undefined : Buffer.from(secret, 'base64url');
    } catch (error) {
      if (error instanceof SealError) return undefined;
      throw error;
    }
  };

  interface Again {
    readonly secret?: Buffer;
    readonly error?: AccountSetUpPage['error'];
    readonly notices?: readonly AccountNotice[] | undefined;
  }
  const setUpPage = (visit: Visit, { secret, error, notices }: Again = {}): void => {
    const app = secondFactors.newApp(visit.user, secret);
    const fields = { setup: sealSetup(visit, app.secret) };
    const page = {
      ...common(visit, notices),
      fields,
      section: 'factors',
      step: 'set-up',
      typed: app.typed,
    } as const;
    show(visit.ctx, { ...page, qr: qrPath(app.uri), error }, error === undefined ? 200 : 422);
  };
  const codesPage = (visit: Visit, codes: readonly string[], notices: readonly AccountNotice[] = []) =>
    show(visit.ctx, { ...common(visit, notices), section: 'factors', step: 'codes', codes });

  const setUp = async (visit: Visit, form: Form): Promise<void> => {
    const secret = await openSetup(visit, form);
    if (!secret)
      return (await confirm.done(visit))
        ? setUpPage(visit, { error: 'expired' })
        : confirm.ask(visit, 'factors');
    const code = single(form, 'code');
    if (code === undefined) return setUpPage(visit, { secret, error: 'missing' });
    const { ctx, session, user } = visit;
    const codes = await secondFactors.add(user.id, secret, code, visitorOf(visit));
    if (!codes) return setUpPage(visit, { secret, error: 'wrong' });
    const { loginTs, amr = [] } = session.payload as { loginTs?: number; amr?: string[] };
    const generation = session.userGeneration ?? '';
    const proved = [...new Set([...amr, 'otp', 'mfa'])];
    await browserSessions.renew(ctx, session, {
      accountId: user.id,
      generation,
      loginTs,
      acr: ACR_MFA,
      amr: proved,
    });
    return codesPage(visit, codes, [{ kind: 'factor-added' }]);
  };

  const section: AccountSection = {
    async show(visit, notices) {
      if (!(await confirm.done(visit))) return confirm.ask(visit, 'factors');
      const found = await secondFactors.find(visit.user.id);
      if (!found) return setUpPage(visit, { notices });
      const { createdAt: since, lastUsedAt: lastUsed, recoveryCodes } = found;
      const page = { ...common(visit, notices), section: 'factors', step: 'list' } as const;
      return show(visit.ctx, { ...page, since, lastUsed, recoveryCodes });
    },
    async submit(visit, form) {
      const decision = single(form, 'decision');
      const has = await secondFactors.find(visit.user.id);
      if (decision === 'set-up' && !has) return setUp(visit, form);
      if (!(await confirm.done(visit))) return confirm.ask(visit, 'factors');
      if (!has || decision === 'set-up') return section.show(visit); // in another tab, it was changed meanwhile
      if (decision === 'remove') {
        await secondFactors.remove(visit.user.id, visitorOf(visit));
        return section.show(visit, [{ kind: 'factor-removed' }]);
      }
      if (decision !== 'codes') throw new PortcullisError('invalid_request', 400, 'Choose what to do.');
      const codes = await secondFactors.renewRecoveryCodes(visit.user.id, visitorOf(visit));
      return codes ? codesPage(visit, codes) : section.show(visit);
    },
  };
  return section;
}
