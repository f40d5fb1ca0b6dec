/** What the sections of the account pages have in common; `account.ts` leads to them. */
import type { Context } from 'koa';
import type { Origin } from '../storage/origin.ts';
import type { UserRecord } from '../storage/user-record.ts';
import type { SignedIn } from './browser-session.ts';
import { originOf } from './context.ts';
import type { Form } from './request-body.ts';
import type { AccountNotice, ReplayView } from './views.ts';

/** Somebody at a section of their account pages. */
export interface Visit {
  readonly ctx: Context;
  readonly session: SignedIn;
  readonly user: UserRecord;
  /** Where the section's forms post to, and their CSRF field. */
  readonly action: string;
  readonly csrf: string;
  /** What the CSRF field is made for. */
  readonly subject: string;
  /** What its owner must be told on every page. */
  readonly replays: readonly ReplayView[];
}

export interface AccountSection {
  show(visit: Visit, notices?: readonly AccountNotice[]): Promise<void>;
  /** Answers a form whose CSRF field was right. */
  submit(visit: Visit, form: Form): Promise<void>;
}

/** What the page of every section has. */
export const common = ({ action, csrf, replays }: Visit, notices: readonly AccountNotice[] = []) =>
  ({ page: 'account', action, csrf, replays, notices }) as const;

/** Who did something, and from where: for the audit row of what a visit changes. */
export const visitorOf = ({ ctx, user }: Visit): Required<Origin> & ReturnType<typeof originOf> => ({
  ...originOf(ctx),
  actor: `user:${user.id}`,
});
