/** CSRF fields: each form carries a value that only this server can make for the thing it acts on. */
import { createHmac } from 'node:crypto';
import { equalBytes } from '../lib/crypto.ts';
import { PortcullisError } from '../lib/errors.ts';
import { single, type Form } from './request-body.ts';

export interface Csrf {
  /** The field's value for a form about `subject`, a name that others cannot guess. */
  token(subject: string): string;
  /** @throws PortcullisError 403 */
  check(form: Form, subject: string): void;
}

/** @param key 32 bytes */
export function createCsrf(key: Buffer): Csrf {
  const token = (subject: string): string => createHmac('sha256', key).update(subject).digest('base64url');
  return {
    token,
    check(form, subject) {
      const sent = Buffer.from(single(form, 'csrf') ?? '');
      if (!equalBytes(sent, Buffer.from(token(subject)))) {
        throw new PortcullisError(
          'invalid_csrf',
          403,
          'The form has expired: go back, reload the page and try again.',
          {
            reason: 'csrf field missing or wrong',
          },
        );
      }
    },
  };
}
