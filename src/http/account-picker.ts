/**
 * The page on which an account is chosen (`prompt=select_account`, OpenID Connect Core 3.1.2.1): the one that is
 * signed in goes on, every other signs in with its password. One browser session is one account.
 */
import type { Context } from 'koa';
import type { UserRecord } from '../storage/user-record.ts';
import type { KnownAccounts } from './known-accounts.ts';
import { single, type Form } from './request-body.ts';
import type { ChooseAccountPage } from './views.ts';

/** What was chosen on the page. */
export type Choice =
  | { readonly kind: 'present' }
  /** `user`: the name that stands in the sign-in form; undefined for an account that is not listed. */
  | { readonly kind: 'sign-in'; readonly user: UserRecord | undefined }
  /** The list has changed: it is shown again. */
  | { readonly kind: 'again' };

export interface AccountPicker {
  /** The accounts to choose from, the one signed in first. None: there is nothing to choose. */
  accounts(ctx: Context, signedIn: string | undefined): Promise<ChooseAccountPage['accounts']>;
  choose(ctx: Context, form: Form, signedIn: string | undefined): Promise<Choice>;
}

export function createAccountPicker(
  known: KnownAccounts,
  users: { findById(id: string): Promise<UserRecord | undefined> },
): AccountPicker {
  return {
    async accounts(ctx, signedIn) {
      const present = signedIn === undefined ? undefined : await users.findById(signedIn);
      const others = (await known.of(ctx)).filter(({ id }) => id !== signedIn);
      return [...(present ? [present] : []), ...others].map(({ id, username, name }) => ({
        id,
        username,
        name,
        signedIn: id === signedIn,
      }));
    },
    async choose(ctx, form, signedIn) {
      const forgotten = single(form, 'forget');
      if (forgotten !== undefined) {
        await known.forget(ctx, forgotten);
        return { kind: 'again' };
      }
      const id = single(form, 'account');
      if (id !== undefined && id === signedIn) return { kind: 'present' };
      // Only an account of this browser's own list puts its name into the form.
      const user = (await known.of(ctx)).find((account) => account.id === id);
      return { kind: 'sign-in', user };
    },
  };
}
