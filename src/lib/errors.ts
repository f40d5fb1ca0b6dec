/** The one error family: a stable code, public text, and a private reason for log and audit only. */

/** What a `PortcullisError` carries besides its public message. */
export interface ErrorDetails {
  /** Never shown to a caller; log and audit only. */
  readonly reason?: string;
  /** JSON pointers to what is wrong with a document (RFC 9457 extension member `errors`). */
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[];
  /** Seconds, for Retry-After. */
  readonly retryAfter?: number;
  readonly cause?: unknown;
}

/** An expected refusal or failure. `message` is public. */
export class PortcullisError extends Error {
  override readonly name = 'PortcullisError';
  /** Stable, snake_case. */
  readonly code: string;
  /** HTTP status. */
  readonly status: number;
  readonly details: ErrorDetails;

  constructor(code: string, status: number, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.status = status;
    this.details = details;
  }
}

/** A start that must not go on: one line for the person at the console, exit code 1. */
export class StartError extends Error {
  override readonly name = 'StartError';
}
