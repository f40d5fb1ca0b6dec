/** The data of each page. Plain values only: whoever wires a route fills these in, the templates do the rest. */
import type { AccountPage } from './views-account.ts';

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

/** A scope in words, or a claim. Those of OpenID Connect are described by the message catalogue, whatever `description` says. */
export interface ScopeView {
  /** The API's name; absent for the scopes of OpenID Connect. */
  readonly api?: string | undefined;
  /** A claim that was asked for one by one (OIDC Core, 5.5). */
  readonly claim?: boolean | undefined;
  readonly name: string;
  readonly description: string;
}

/** A form's target, and the value of its hidden `csrf` field. */
export interface FormView {
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

/** Posts `username` and `password`; or `asked` and `credential`, what the browser answered to `passkey`. */
export interface LoginPage extends FormView {
  readonly page: 'login';
  readonly step?: never;
  readonly client: ClientView | undefined;
  /** What was typed, or `login_hint`. */
  readonly username?: string | undefined;
  /** Somebody who is signed in confirms that it is they: the name stands fast. */
  readonly confirm?: boolean | undefined;
  /** Offers a new password, and an account of one's own. */
  readonly recover?: boolean | undefined;
  readonly register?: boolean | undefined;
  /** JSON for the script, and the value of the hidden field that goes with it. */
  readonly passkey?: { readonly options: string; readonly asked: string } | undefined;
  readonly error?: 'invalid' | 'throttled' | 'missing' | 'expired' | 'passkey' | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** Posts `account`, an id or nothing for one that is not listed; or `forget`, an id. */
export interface ChooseAccountPage extends FormView {
  readonly page: 'login';
  readonly step: 'choose';
  readonly client: ClientView;
  readonly accounts: readonly (AccountView & { readonly id: string; readonly signedIn: boolean })[];
}

/** Posts the hidden field `pending`; and `code`, or `credential`: what the browser answered to `passkey`. */
export interface MfaPage extends FormView {
  readonly page: 'mfa';
  readonly client: ClientView | undefined;
  /** There is an authenticator app; without one, only recovery codes are typed. */
  readonly app: boolean;
  /** JSON for the script. */
  readonly passkey?: string | undefined;
  /** Where to begin again with another account. */
  readonly back?: string | undefined;
  readonly error?: 'invalid' | 'throttled' | 'missing' | 'passkey' | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** Posts `decision=allow|deny`. */
export interface ConsentPage extends FormView, Request {
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
export interface LogoutPage extends FormView {
  readonly page: 'logout';
  readonly client?: ClientView | undefined;
  readonly account?: AccountView | undefined;
}

export interface SignedOutPage {
  readonly page: 'signed-out';
  readonly client?: ClientView | undefined;
  /** There is no account any more. */
  readonly deleted?: boolean | undefined;
  /** Names of the apps that are being told by back-channel logout. */
  readonly apps?: readonly string[] | undefined;
}

/** Anything that is said in a sentence; take `title`, `text` and `label` from `Views.text`. */
export interface MessagePage {
  readonly page: 'message';
  readonly title: string;
  readonly text: string;
  readonly link?: { readonly href: string; readonly label: string } | undefined;
  /** One button. */
  readonly form?:
    (Omit<FormView, 'csrf'> & { readonly csrf: string | undefined; readonly label: string }) | undefined;
}

/** What is wrong with a new password. */
export interface NewPasswordErrors {
  readonly next?: 'missing' | 'short' | 'long' | 'common' | 'same' | undefined;
  readonly repeat?: 'missing' | 'different' | undefined;
}

/** Posts `username`: a name or an address. */
export interface RecoverAskPage extends FormView {
  readonly page: 'recover';
  readonly step: 'ask';
  readonly username?: string | undefined;
  readonly error?: 'missing' | 'throttled' | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** Posts `new_password`, `repeat_password` and the hidden field `token`. */
export interface RecoverSetPage extends FormView {
  readonly page: 'recover';
  readonly step: 'set';
  readonly account: AccountView;
  readonly minLength: number;
  readonly errors?: NewPasswordErrors | undefined;
}

/** Posts `email`. */
export interface RegisterAskPage extends FormView {
  readonly page: 'register';
  readonly step: 'ask';
  readonly email?: string | undefined;
  readonly error?: 'missing' | 'invalid' | 'throttled' | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** Posts `username`, `name`, `new_password`, `repeat_password` and the hidden field `token`. */
export interface RegisterCreatePage extends FormView {
  readonly page: 'register';
  readonly step: 'create';
  readonly email: string;
  readonly username?: string | undefined;
  readonly name?: string | undefined;
  readonly minLength: number;
  readonly errors?:
    | (NewPasswordErrors & {
        readonly username?: 'missing' | 'taken' | 'invalid' | 'throttled' | undefined;
        readonly name?: 'invalid' | undefined;
      })
    | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** Posts `user_code`. */
export interface DeviceEnterPage extends FormView {
  readonly page: 'device';
  readonly step: 'enter';
  readonly userCode?: string | undefined;
  readonly error?: 'missing' | 'unknown' | 'expired' | 'unmet' | 'throttled' | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** Posts `user_code` and `decision=allow|deny`; it is the consent of the device flow. */
export interface DeviceConfirmPage extends FormView, Request {
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

export type Page =
  | LoginPage
  | ChooseAccountPage
  | MfaPage
  | ConsentPage
  | ErrorPage
  | LogoutPage
  | SignedOutPage
  | MessagePage
  | RecoverAskPage
  | RecoverSetPage
  | RegisterAskPage
  | RegisterCreatePage
  | DeviceEnterPage
  | DeviceConfirmPage
  | DeviceDonePage
  | AccountPage;
