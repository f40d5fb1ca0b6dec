/** Validates the smaller documents of the admin API. */
import type { z } from 'zod';
import { faultsOf } from '../lib/documents.ts';
import { PortcullisError } from '../lib/errors.ts';

/**
 * What `schema` makes of a document.
 * @throws PortcullisError `invalid_document` (422) with every fault
 */
export function parseDocument<T extends z.ZodType>(schema: T, document: unknown): z.output<T> {
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  throw new PortcullisError('invalid_document', 422, 'The document is not valid.', {
    errors: faultsOf(result.error),
  });
}
