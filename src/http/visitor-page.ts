/** What the pages have in common that mails lead to, and that ask for mails: nobody is signed in there. */
import type { Context } from 'koa';
import type { Accounts } from '../users/accounts.ts';
import type { Throttle } from '../users/throttle.ts';
import type { Mailing, Offers } from './mailing.ts';
import { localeOf, type ShowPage } from './pages.ts';
import type { Form } from './request-body.ts';
import type { Views } from './views.ts';
import type { Visitors } from './visitor.ts';

export interface VisitorPage {
  show(ctx: Context): Promise<void>;
  submit(ctx: Context, form: Form): Promise<void>;
}

export interface VisitorPageDependencies {
  readonly show: ShowPage;
  readonly text: Views['text'];
  readonly basePath: string;
  readonly visitors: Visitors;
  readonly accounts: Accounts;
  readonly mailing: Mailing;
  readonly throttle: Throttle;
  readonly offers: Offers;
}

/** The token of the link that was opened. */
export const tokenOf = (ctx: Context): string | undefined => {
  const { token } = ctx.query;
  return typeof token === 'string' && token !== '' ? token : undefined;
};

/** Says something in a sentence. @param topic of the message catalogue: `TOPIC.title` and so on */
export function say(
  { show, text, basePath }: Pick<VisitorPageDependencies, 'show' | 'text' | 'basePath'>,
  ctx: Context,
  topic: string,
  { status, path = '' }: { readonly status?: number; readonly path?: string } = {},
): void {
  const said = (part: string): string => text(localeOf(ctx), `${topic}.${part}`);
  const link = { href: `${basePath}/account${path}`, label: said('link') };
  show(ctx, { page: 'message', title: said('title'), text: said('text'), link }, status);
}
