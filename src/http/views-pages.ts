/** The data of each page. Plain values only: whoever wires a route fills these in, the templates do the rest. */

/** What a page needs to know about its request. */
export interface ViewContext {
  /** From `pickLocale`; an unknown one renders in English. */
  readonly locale: string;
  /** Pages have no inline script or style, so there is nothing that a nonce could allow. */
  readonly nonce?: never;
  /** The value of `x-request-id`; the error page shows it. */
  readonly requestId: string;
  /** The issuer's path, `''` or `'/x'`. */
  readonly basePath: string;
}

/** A client as people see it. Its logo is never loaded: that would call a third party from a sign-in page. */
export interface ClientView {
  readonly name: string;
  readonly uri?: string | undefined;
  readonly logoUri?: string | undefined;
}

export interface AccountView {
  readonly username: string;
  readonly name?: string | undefined;
}

/** A scope in words. Those of OpenID Connect are described by the message catalogue, whatever `description` says. */
export interface ScopeView {
  /** The API's name; absent for the scopes of OpenID Connect. */
  readonly api?: string | undefined;
  readonly name: string;
  readonly description: string;
}

/** A form's target, and the value of its hidden `csrf` field. */
interface Form {
  readonly action: string;
  readonly csrf: string;
  /** More hidden fields, by name. */
  readonly fields?: Readonly<Record<string, string>> | undefined;
}

/** What is asked for: shown on the consent page and on the device confirmation. */
interface Request {
  readonly account: AccountView;
  /** Only what is new. `offline_access` is spoken of when `offline` says so, never as a line of this list. */
  readonly scopes: readonly ScopeView[];
  readonly already?: readonly ScopeView[] | undefined;
  /** The access goes on after signing out (`offline_access`). */
  readonly offline: boolean;
  /** "Not you?" posts here, with the same `csrf`. */
  readonly switchAction: string;
}

/** Posts `username` and `password`. */
export interface LoginPage extends Form {
  readonly page: 'login';
  readonly client: ClientView | undefined;
  /** What was typed, or `login_hint`. */
  readonly username?: string | undefined;
  readonly error?: 'invalid' | 'throttled' | 'missing' | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** Posts `decision=allow|deny`. */
export interface ConsentPage extends Form, Request {
  readonly page: 'consent';
  readonly client: ClientView & {
    readonly policyUri?: string | undefined;
    readonly tosUri?: string | undefined;
    /** Where the person is sent afterwards: the host of the redirect URI, or its scheme when it has no host. */
    readonly host: string;
  };
}

/** Explains what went wrong. Texts go by `code`, else by `status`; `message` is shown as the detail for developers. */
export interface ErrorPage {
  readonly page: 'error';
  readonly code: string;
  readonly message: string;
  readonly status: number;
  readonly client?: ClientView | undefined;
  /** A way back: where to start again. http(s), or a path of this server. */
  readonly back?: string | undefined;
}

/** Posts `decision=logout|stay`. */
export interface LogoutPage extends Form {
  readonly page: 'logout';
  readonly client?: ClientView | undefined;
  readonly account?: AccountView | undefined;
}

export interface SignedOutPage {
  readonly page: 'signed-out';
  readonly client?: ClientView | undefined;
  /** Names of the apps that were told by back-channel logout. */
  readonly apps?: readonly string[] | undefined;
}

/** Anything that is said in a sentence; take `title`, `text` and `label` from `Views.text`. */
export interface MessagePage {
  readonly page: 'message';
  readonly title: string;
  readonly text: string;
  readonly link?: { readonly href: string; readonly label: string } | undefined;
}

/** Posts `user_code`. */
export interface DeviceEnterPage extends Form {
  readonly page: 'device';
  readonly step: 'enter';
  readonly userCode?: string | undefined;
  readonly error?: 'missing' | 'unknown' | 'expired' | 'throttled' | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** Posts `user_code` and `decision=allow|deny`; it is the consent of the device flow. */
export interface DeviceConfirmPage extends Form, Request {
  readonly page: 'device';
  readonly step: 'confirm';
  readonly userCode: string;
  readonly client: ClientView;
}

export interface DeviceDonePage {
  readonly page: 'device';
  readonly step: 'done';
  readonly allowed: boolean;
  readonly client?: ClientView | undefined;
}

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
  | { readonly kind: 'password-changed' | 'session-ended' | 'sessions-ended' }
  | { readonly kind: 'access-removed'; readonly client: string };

/** An app whose access was ended because a token was used twice. */
export interface ReplayView {
  readonly client: string;
  /** Epoch milliseconds. */
  readonly time: number;
}

/** What every account page has: `csrf` serves all forms of a page, `action` those of its section. */
interface AccountCommon extends Form {
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
  | 'enabled'
  | 'disabled'
  | 'revoked';

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

/** Posts `current_password`, `new_password` and `repeat_password`. */
export interface AccountPasswordPage extends AccountCommon {
  readonly section: 'password';
  readonly account: AccountView;
  readonly minLength: number;
  readonly errors?:
    | {
        readonly current?: 'missing' | 'wrong' | 'throttled' | undefined;
        readonly next?: 'missing' | 'short' | 'long' | 'common' | 'same' | undefined;
        readonly repeat?: 'missing' | 'different' | undefined;
      }
    | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

export type Page =
  | LoginPage
  | ConsentPage
  | ErrorPage
  | LogoutPage
  | SignedOutPage
  | MessagePage
  | DeviceEnterPage
  | DeviceConfirmPage
  | DeviceDonePage
  | AccountProfilePage
  | AccountAppsPage
  | AccountSessionsPage
  | AccountActivityPage
  | AccountPasswordPage;
