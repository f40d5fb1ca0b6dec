/** Who calls: the client behind the access token in the Authorization header, which is the one place for it (RFC 6750). */
import type { Context } from 'koa';
import type { Admin } from '../../clients/administration.ts';
import { PortcullisError } from '../../lib/errors.ts';
import type { AdminBearer } from '../../provider/admin-bearer.ts';
import { originOf } from '../context.ts';

/** The admin behind a request. */
export interface Caller extends Admin {
  readonly clientId: string;
}

/**
 * @throws PortcullisError 401, with the challenge set (RFC 6750, 3.1)
 */
export async function callerOf(ctx: Context, bearer: AdminBearer): Promise<Caller> {
  const [scheme = '', token, ...rest] = ctx.get('authorization').split(' ').filter(Boolean);
  if (scheme.toLowerCase() !== 'bearer') {
    ctx.set('www-authenticate', 'Bearer');
    throw new PortcullisError('unauthorized', 401, 'This needs an access token for urn:portcullis:admin.');
  }
  const caller = token === undefined || rest.length > 0 ? undefined : await bearer(token);
  if (!caller) {
    ctx.set('www-authenticate', 'Bearer error="invalid_token"');
    throw new PortcullisError(
      'invalid_token',
      401,
      'The access token is not one for the admin API, has ended or was revoked.',
    );
  }
  return { ...originOf(ctx), ...caller, actor: `client:${caller.clientId}` };
}

/** @throws PortcullisError 403, with the challenge set */
export function requireScope(ctx: Context, { scopes }: Caller, scope: string): void {
  if (scopes.includes(scope)) return;
  ctx.set('www-authenticate', `Bearer error="insufficient_scope", scope="${scope}"`);
  throw new PortcullisError('insufficient_scope', 403, `This needs the scope ${scope}.`, {
    reason: `needs the scope ${scope}`,
  });
}
