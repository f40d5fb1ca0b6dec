/** The data of the account pages, see `views-pages.ts`. */
import type { QrPath } from './qr-path.ts';
import type { AccountView, ClientView, FormView, NewPasswordErrors, ScopeView } from './views-pages.ts';

/** One connected app. */
export interface AppView {
  readonly client: ClientView;
  /** The value of the hidden field `client_id` in its form. */
  readonly clientId: string;
  readonly scopes: readonly ScopeView[];
  readonly offline: boolean;
  /** Epoch milliseconds. */
  readonly since: number;
  /** Epoch milliseconds. */
  readonly lastUsed?: number | undefined;
}

/** Something that the account page says once, above everything else. */
export type AccountNotice =
  | {
      readonly kind:
        | 'password-changed'
        | 'session-ended'
        | 'sessions-ended'
        | 'factor-added'
        | 'factor-removed'
        | 'mail-sent'
        | 'mail-later'
        | 'email-asked';
    }
  | { readonly kind: 'access-removed'; readonly client: string };

/** An app whose access was ended because a token was used twice. */
export interface ReplayView {
  readonly client: string;
  /** Epoch milliseconds. */
  readonly time: number;
}

/** What every account page has: `csrf` serves all forms of a page, `action` those of its section. */
interface AccountCommon extends FormView {
  readonly page: 'account';
  readonly notices?: readonly AccountNotice[] | undefined;
  /** Shown with a form that says that they were read: it posts to the activity section. */
  readonly replays?: readonly ReplayView[] | undefined;
}

export interface AccountProfilePage extends AccountCommon {
  readonly section: 'profile';
  readonly account: AccountView & {
    readonly email?: string | undefined;
    readonly emailVerified?: boolean | undefined;
  };
  /** Posting the form asks for a mail that confirms the address. */
  readonly confirmable?: boolean | undefined;
  /** Leads to where another address is asked for. */
  readonly changeable?: boolean | undefined;
  /** Leads to where the account may be deleted. */
  readonly deletable?: boolean | undefined;
}

/** Each app's form posts `client_id` after the person has opened its confirmation. */
export interface AccountAppsPage extends AccountCommon {
  readonly section: 'apps';
  readonly apps: readonly AppView[];
}

/** One browser in which somebody is signed in; instants are epoch milliseconds. */
export interface SessionView {
  readonly id: string;
  /** Product names. */
  readonly device: { readonly browser?: string | undefined; readonly system?: string | undefined };
  readonly ip?: string | undefined;
  readonly since: number;
  readonly seen: number;
  /** The one that the page is seen in. */
  readonly current: boolean;
}

/** Each other session's form posts `session_id`; one form for all others posts `others`. */
export interface AccountSessionsPage extends AccountCommon {
  readonly section: 'sessions';
  readonly sessions: readonly SessionView[];
}

/** What happened, in the words of the catalogue. */
export type ActivityKind =
  | 'signed-in'
  | 'signed-in-to'
  | 'signed-out'
  | 'session-ended'
  | 'session-ended-by-admin'
  | 'allowed'
  | 'refused'
  | 'connected'
  | 'removed'
  | 'disconnected'
  | 'gave-back'
  | 'replayed'
  | 'password-changed'
  | 'password-changed-by-admin'
  | 'created'
  | 'updated'
  | 'email-asked'
  | 'email-changed'
  | 'enabled'
  | 'disabled'
  | 'revoked'
  | 'wrong-password'
  | 'wrong-second-factor'
  | 'wrong-passkey'
  | 'factor-added'
  | 'factor-removed'
  | 'factors-reset'
  | 'recovery-codes'
  | 'recovery-code-used';

export interface ActivityView {
  readonly kind: ActivityKind;
  /** Epoch milliseconds. */
  readonly time: number;
  readonly client?: string | undefined;
  readonly ip?: string | undefined;
}

export interface AccountActivityPage extends AccountCommon {
  readonly section: 'activity';
  /** Newest first. */
  readonly events: readonly ActivityView[];
}

/** No second factor yet: posts `code` and the hidden field `setup`. */
export interface AccountSetUpPage extends AccountCommon {
  readonly section: 'factors';
  readonly step: 'set-up';
  readonly qr: QrPath;
  /** The secret as it is typed. */
  readonly typed: string;
  readonly error?: 'missing' | 'wrong' | 'expired' | undefined;
}

/** A passkey; instants are epoch milliseconds. */
export interface PasskeyView {
  readonly id: string;
  readonly name: string;
  readonly since: number;
  readonly lastUsed?: number | undefined;
}

/**
 * Posts `decision=codes|remove-app|remove-passkey`, the last with `passkey_id`; and, by script, `decision=add-passkey`
 * with `challenge`, `name`, and `credential`: what the browser answered to `creation`.
 */
export interface AccountFactorsPage extends AccountCommon {
  readonly section: 'factors';
  readonly step: 'list';
  /** The authenticator app; instants are epoch milliseconds. */
  readonly app?: { readonly since: number; readonly lastUsed?: number | undefined } | undefined;
  readonly passkeys: readonly PasskeyView[];
  readonly recoveryCodes: number;
  /** How to add a passkey; undefined where there can be none. */
  readonly passkey?:
    | {
        /** JSON for the script. */
        readonly creation: string;
        /** The sealed hidden field. */
        readonly challenge: string;
        readonly device: SessionView['device'];
      }
    | undefined;
  readonly error?: 'passkey' | 'expired' | undefined;
}

/** Shown this once. */
export interface AccountRecoveryCodesPage extends AccountCommon {
  readonly section: 'factors';
  readonly step: 'codes';
  readonly codes: readonly string[];
}

/** Posts `current_password`, `new_password` and `repeat_password`. */
export interface AccountPasswordPage extends AccountCommon {
  readonly section: 'password';
  readonly account: AccountView;
  readonly minLength: number;
  readonly errors?:
    (NewPasswordErrors & { readonly current?: 'missing' | 'wrong' | 'throttled' | undefined }) | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** Posts `email`. */
export interface AccountEmailPage extends AccountCommon {
  readonly section: 'email';
  readonly account: AccountView & { readonly email?: string | undefined };
  /** What was typed. */
  readonly email?: string | undefined;
  readonly error?: 'missing' | 'invalid' | 'same' | 'throttled' | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** Posts `typed_username`. */
export interface AccountDeletePage extends AccountCommon {
  readonly section: 'delete';
  readonly account: AccountView;
  readonly error?: 'missing' | 'different' | undefined;
}

export type AccountPage =
  | AccountDeletePage
  | AccountEmailPage
  | AccountProfilePage
  | AccountAppsPage
  | AccountSessionsPage
  | AccountActivityPage
  | AccountSetUpPage
  | AccountFactorsPage
  | AccountRecoveryCodesPage
  | AccountPasswordPage;
