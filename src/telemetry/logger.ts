/** The log: JSON lines in production, readable lines in development. `app` makes it; everybody may write to it. */
import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';
import { readableLine } from './readable-line.ts';

/** Fields, then message: `logger.info({ client_id }, 'client created')`. */
export type Logger = PinoLogger;

/** How a log is made. */
export interface LoggerOptions {
  readonly environment: 'development' | 'production';
  /** Least level that is written; `info` by default. */
  readonly level?: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** Of the request that a line belongs to. */
  readonly traceId?: (() => string | undefined) | undefined;
  /** Where lines go; standard output by default. */
  readonly destination?: DestinationStream;
}

/**
 * Keys whose values are never written, wherever they sit. Callers do not log such values in the first place;
 * this is for the day when one does.
 */
const SECRET_KEY =
  /password|passphrase|secret|authorization|cookie|assertion|verifier|(?:^|_|[a-z])(?:token|code|jwt|proof)$|^(?:token|code|otp|csrf)/i;
/** Keys that look like the above and are not secret. */
const HARMLESS_KEY = /^(?:error|status|exit)_code$|^(?:token_type|code_challenge_method)$|_(?:id|type)$/i;

/** Our own tokens and secrets by their prefix, and every JWT, wherever they stand in a line. */
const SECRET_VALUE = /\bpc[a-z]_[\w-]{20,}|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)*/g;

const MAX_DEPTH = 6;

/** A copy without secret values. Errors are left to their serializer. */
function redact(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Error) return value;
  if (depth >= MAX_DEPTH) return '[too deep]';
  if (Array.isArray(value)) return value.map((each) => redact(each, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key,
      each !== undefined && SECRET_KEY.test(key) && !HARMLESS_KEY.test(key)
        ? '[redacted]'
        : redact(each, depth + 1),
    ]),
  );
}

/** Only what is known to be safe: an error's own members may hold anything. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { details, cause } = error as { details?: { reason?: unknown }; cause?: unknown };
  return {
    type: error.name,
    message: error.message,
    error_code: 'code' in error ? error.code : undefined,
    reason: details?.reason,
    stack: error.stack,
    cause: cause === undefined ? undefined : describeError(cause),
  };
}

/** Makes a log. Each line has `time` (ISO 8601), `level` and `msg`, then the caller's fields. */
export function createLogger({ environment, level = 'info', traceId, destination }: LoggerOptions): Logger {
  const sink = destination ?? pino.destination({ fd: 1, sync: true });
  const clean = (fields: object) => redact(fields) as Record<string, unknown>;
  const logger: Logger = pino(
    {
      level,
      base: null,
      ...(traceId && { mixin: () => ({ trace_id: traceId() }) }),
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: clean },
      serializers: { err: describeError },
    },
    {
      write: (json) => {
        const line = json.replace(SECRET_VALUE, '[redacted]');
        sink.write(environment === 'production' ? line : readableLine(line));
      },
    },
  );
  // Fields bound to a child pass no formatter of the log's; children inherit this method.
  const { child } = logger;
  logger.child = function (this: Logger, bindings, options) {
    return child.call(this, clean(bindings), options) as never;
  };
  return logger;
}
