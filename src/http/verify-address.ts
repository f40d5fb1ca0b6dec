/** `/account/verify`: an address is confirmed by a link that arrived there. A click, so that no mail scanner does it. */
import { originOf } from './context.ts';
import { localeOf } from './pages.ts';
import { single } from './request-body.ts';
import { say, tokenOf, type VisitorPage, type VisitorPageDependencies } from './visitor-page.ts';

export function createVerifyAddress(deps: VisitorPageDependencies): VisitorPage {
  const { show, text, basePath, visitors, accounts, mailing } = deps;
  return {
    async show(ctx) {
      const token = tokenOf(ctx) ?? '';
      const link = await mailing.links.find('verify', token);
      if (!link) return say(deps, ctx, 'link-expired', { status: 400 });
      const said = (part: string): string => text(localeOf(ctx), `verify.${part}`, { email: link.email });
      const form = {
        action: `${basePath}/account/verify`,
        csrf: visitors.csrf(ctx),
        fields: { token },
        label: said('submit'),
      };
      return show(ctx, { page: 'message', title: said('title'), text: said('text'), form });
    },
    async submit(ctx, form) {
      visitors.check(ctx, form);
      const link = await mailing.links.use('verify', single(form, 'token') ?? '');
      const by = link && { ...originOf(ctx), actor: `user:${link.userId}` };
      const done = by && (await accounts.confirmEmail(link.userId, link.email, by));
      return done ? say(deps, ctx, 'verify.done') : say(deps, ctx, 'link-expired', { status: 400 });
    },
  };
}
