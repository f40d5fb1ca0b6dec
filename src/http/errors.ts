/** Turns errors into answers: OAuth JSON, problem+json or a page. The reason goes to the log, never to the caller. */
import type { Context, Middleware, Next } from 'koa';
import { PortcullisError } from '../lib/errors.ts';
import { isUnavailable } from '../storage/failures.ts';
import type { Logger } from '../telemetry/logger.ts';
import { factsOf } from './context.ts';

const unavailable = (cause: unknown): PortcullisError =>
  new PortcullisError(
    'temporarily_unavailable',
    503,
    'The server cannot reach its database, try again shortly.',
    {
      retryAfter: 1,
      cause,
    },
  );
const unexpected = (cause: unknown): PortcullisError =>
  new PortcullisError('server_error', 500, 'Something went wrong on our side.', { cause });

/** The refusal behind any error. */
function refusalOf(error: unknown): PortcullisError {
  if (isUnavailable(error)) return unavailable(error);
  if (error instanceof PortcullisError) return error;
  return unexpected(error);
}

/** Titles of problem documents, by status. */
const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  412: 'Precondition failed',
  413: 'Content too large',
  415: 'Unsupported media type',
  422: 'Unprocessable content',
  429: 'Too many requests',
  500: 'Internal server error',
  503: 'Service unavailable',
};

/** Answers as RFC 9457 says. */
export function sendProblem(ctx: Context, error: PortcullisError): void {
  const { code, status, message, details } = error;
  ctx.status = status;
  ctx.type = 'application/problem+json';
  ctx.body = JSON.stringify({
    type: 'about:blank',
    title: TITLES[status] ?? 'Error',
    status,
    detail: message,
    code,
    request_id: factsOf(ctx).requestId,
    ...(details.errors ? { errors: details.errors } : {}),
  });
}

/** Answers as RFC 6749, 5.2 says. */
export function sendOAuthError(ctx: Context, { code, status, message }: PortcullisError): void {
  ctx.status = status;
  ctx.body = { error: code, error_description: message };
}

/** The caller went away in the middle of its request: no fault of the server's, and nobody to answer. */
const left = new PortcullisError('invalid_request', 400, 'The request was not sent to its end.');

/** Catches what is thrown below; `send` knows the form that this part of the server answers in. */
export function createErrorHandler(
  logger: Logger,
  send: (ctx: Context, error: PortcullisError) => void,
): Middleware {
  return async function errors(ctx: Context, next: Next): Promise<void> {
    try {
      await next();
    } catch (error) {
      const gone = ctx.req.destroyed && !ctx.req.complete;
      const refusal = gone ? left : refusalOf(error);
      const { requestId, clientIp } = factsOf(ctx);
      const fields = {
        request_id: requestId,
        ip: clientIp,
        outcome: refusal.code,
        reason: refusal.details.reason,
      };
      if (refusal.status >= 500) logger.error({ ...fields, err: error }, 'request failed');
      else logger.info(fields, 'request refused');
      ctx.set('cache-control', 'no-store');
      if (refusal.details.retryAfter !== undefined)
        ctx.set('retry-after', String(refusal.details.retryAfter));
      // A body that was not read to its end would be taken for the next request.
      if (refusal.status === 413) ctx.set('connection', 'close');
      send(ctx, refusal);
    }
  };
}
