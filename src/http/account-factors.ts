/** `/account/factors`: authenticator app, passkeys and recovery codes; `/account/authenticator` sets up the app. */
import { PortcullisError } from '../lib/errors.ts';
import { ACR_MFA } from '../provider/acr.ts';
import type { SetUp } from '../users/second-factors.ts';
import type { Confirm, ConfirmDependencies } from './account-confirm.ts';
import { common, visitorOf, type AccountSection, type Visit } from './account-section.ts';
import { deviceName } from './device-name.ts';
import { qrPath } from './qr-path.ts';
import { single, type Form } from './request-body.ts';
import { openField, sealField } from './sealed-field.ts';
import type { AccountFactorsPage, AccountNotice, AccountSetUpPage } from './views.ts';

/** Milliseconds that something may wait to be set up; whoever sets it up has signed in within five minutes. */
const SET_UP = 15 * 60_000;
/** Characters of a passkey's name. */
const NAME_MAX = 60;

export interface FactorSections {
  readonly list: AccountSection;
  readonly authenticator: AccountSection;
}

export function createFactorSections(deps: ConfirmDependencies, confirm: Confirm): FactorSections {
  const { show, secondFactors, browserSessions } = deps;
  const field = (name: 'secret' | 'challenge', { subject }: Visit) => ({ name, subject });

  /** Something was set up: this session has proved it, and recovery codes are shown if they are new. */
  const added = async (visit: Visit, { recoveryCodes }: SetUp, method: 'otp' | 'pop'): Promise<void> => {
    const { ctx, session, user } = visit;
    const { loginTs, amr = [] } = session.payload as { loginTs?: number; amr?: string[] };
    const generation = session.userGeneration ?? '';
    const proved = [...new Set([...amr, method, 'mfa'])];
    const login = { accountId: user.id, generation, loginTs, acr: ACR_MFA, amr: proved };
    await browserSessions.renew(ctx, session, login);
    const notices = [{ kind: 'factor-added' }] as const;
    return recoveryCodes ? codesPage(visit, recoveryCodes, notices) : listPage(visit, { notices });
  };
  const codesPage = (visit: Visit, codes: readonly string[], notices: readonly AccountNotice[] = []): void =>
    show(visit.ctx, { ...common(visit, notices), section: 'factors', step: 'codes', codes });

  const listPage = async (
    visit: Visit,
    {
      notices,
      error,
    }: { notices?: readonly AccountNotice[] | undefined; error?: AccountFactorsPage['error'] } = {},
  ): Promise<void> => {
    const { ctx, user } = visit;
    const found = await secondFactors.find(user.id);
    const challenge = secondFactors.newChallenge();
    const creation = secondFactors.passkeyCreation(user, found, challenge);
    const view = ({ createdAt, lastUsedAt }: { createdAt: number; lastUsedAt: number | undefined }) => ({
      since: createdAt,
      lastUsed: lastUsedAt,
    });
    const page: AccountFactorsPage = {
      ...common(visit, notices),
      section: 'factors',
      step: 'list',
      app: found?.app && view(found.app),
      passkeys: (found?.passkeys ?? []).map((key) => ({ id: key.id, name: key.name, ...view(key) })),
      recoveryCodes: found?.recoveryCodes ?? 0,
      passkey:
        creation === undefined
          ? undefined
          : {
              creation,
              challenge: sealField(deps, field('challenge', visit), { challenge }, SET_UP),
              device: deviceName(ctx.get('user-agent')),
            },
      error,
    };
    show(ctx, page, error === undefined ? 200 : 422);
  };

  /** Whoever has not proved a second factor in this session may add the first one only, whatever field they hold. */
  const onlyFirst = ({ session }: Visit): boolean => (session.payload as { acr?: string }).acr !== ACR_MFA;

  const addPasskey = async (visit: Visit, form: Form): Promise<void> => {
    // The page may have stood open for long.
    if (!(await confirm.done(visit))) return confirm.ask(visit, 'factors');
    const sealed = single(form, 'challenge');
    const opened = await openField<{ challenge: string }>(deps, field('challenge', visit), sealed);
    if (!opened) return listPage(visit, { error: 'expired' });
    const answer = single(form, 'credential') ?? '';
    const name = single(form, 'name')?.trim().slice(0, NAME_MAX) ?? '';
    const passkey = { answer, name, challenge: opened.challenge };
    const done = await secondFactors.addPasskey(visit.user.id, passkey, visitorOf(visit), onlyFirst(visit));
    return done ? added(visit, done, 'pop') : listPage(visit, { error: 'passkey' });
  };

  const change = async (visit: Visit, form: Form): Promise<void> => {
    const { id } = visit.user;
    switch (single(form, 'decision')) {
      case 'remove-app':
        await secondFactors.removeApp(id, visitorOf(visit));
        break;
      case 'remove-passkey':
        await secondFactors.removePasskey(id, single(form, 'passkey_id') ?? '', visitorOf(visit));
        break;
      case 'codes': {
        const codes = await secondFactors.renewRecoveryCodes(id, visitorOf(visit));
        return codes ? codesPage(visit, codes) : listPage(visit);
      }
      default:
        throw new PortcullisError('invalid_request', 400, 'Choose what to do.');
    }
    return listPage(visit, { notices: [{ kind: 'factor-removed' }] });
  };

  const setUpPage = (
    visit: Visit,
    { secret, error }: { readonly secret?: Buffer; readonly error?: AccountSetUpPage['error'] } = {},
  ): void => {
    const app = secondFactors.newApp(visit.user, secret);
    const value = { secret: app.secret.toString('base64url') };
    const fields = { setup: sealField(deps, field('secret', visit), value, SET_UP) };
    const page = { ...common(visit), fields, section: 'factors', step: 'set-up', typed: app.typed } as const;
    show(visit.ctx, { ...page, qr: qrPath(app.uri), error }, error === undefined ? 200 : 422);
  };

  return {
    list: {
      async show(visit, notices) {
        if (await confirm.done(visit)) await listPage(visit, { notices });
        else confirm.ask(visit, 'factors');
      },
      async submit(visit, form) {
        if (single(form, 'decision') === 'add-passkey') return addPasskey(visit, form);
        return (await confirm.done(visit)) ? change(visit, form) : confirm.ask(visit, 'factors');
      },
    },
    authenticator: {
      async show(visit) {
        if (!(await confirm.done(visit))) return confirm.ask(visit, 'authenticator');
        return (await secondFactors.find(visit.user.id))?.app ? listPage(visit) : setUpPage(visit);
      },
      async submit(visit, form) {
        const { user } = visit;
        if (!(await confirm.done(visit))) return confirm.ask(visit, 'authenticator');
        if ((await secondFactors.find(user.id))?.app) return this.show(visit); // in another tab, meanwhile
        const sealed = single(form, 'setup');
        const opened = await openField<{ secret: string }>(deps, field('secret', visit), sealed);
        if (!opened) return setUpPage(visit, { error: 'expired' });
        const secret = Buffer.from(opened.secret, 'base64url');
        const code = single(form, 'code');
        if (code === undefined) return setUpPage(visit, { secret, error: 'missing' });
        const done = await secondFactors.addApp(user.id, secret, code, visitorOf(visit), onlyFirst(visit));
        return done ? added(visit, done, 'otp') : setUpPage(visit, { secret, error: 'wrong' });
      },
    },
  };
}
