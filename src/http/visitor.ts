/** Browsers in which nobody is signed in: what the CSRF field of their forms is made for. */
import type { Context } from 'koa';
import { randomId } from '../lib/ids.ts';
import type { Csrf } from './csrf.ts';
import type { Form } from './request-body.ts';

export interface Visitors {
  /** What a form's fields are made for; names the browser by a cookie. */
  subject(ctx: Context): string;
  /** The value of the CSRF field. */
  csrf(ctx: Context): string;
  /**
   * The subject that the field was made for.
   * @throws PortcullisError 403
   */
  check(ctx: Context, form: Form): string;
}

/** One name for all tabs of a browser. */
const COOKIE = 'portcullis_visitor';

export function createVisitors(csrf: Csrf, basePath: string): Visitors {
  const nameOf = (ctx: Context): string | undefined => ctx.cookies.get(COOKIE, { signed: true });
  const subjectOf = (name: string): string => `visitor:${name}`;
  const subject = (ctx: Context): string => {
    const name = nameOf(ctx) ?? randomId();
    ctx.cookies.set(COOKIE, name, { signed: true, httpOnly: true, sameSite: 'lax', path: `${basePath}/` });
    return subjectOf(name);
  };
  return {
    subject,
    csrf: (ctx) => csrf.token(subject(ctx)),
    check(ctx, form) {
      const visitor = subjectOf(nameOf(ctx) ?? '');
      csrf.check(form, visitor);
      return visitor;
    },
  };
}
