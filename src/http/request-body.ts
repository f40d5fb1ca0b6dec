/** Reads request bodies, bounded and strict, before anything else looks at them. */
import type { IncomingMessage } from 'node:http';
import { unescape } from 'node:querystring';
import { isDeeper } from '../lib/documents.ts';
import { PortcullisError } from '../lib/errors.ts';

/** Bytes. */
const BODY_LIMIT = 64 * 1024;
const PARAMETER_LIMIT = 500;
/** Levels of objects and arrays in a JSON document. */
const DEPTH_LIMIT = 32;

const tooLarge = (): PortcullisError =>
  new PortcullisError('request_too_large', 413, 'The request body is larger than 64 KiB.');
const malformed = (why: string): PortcullisError => new PortcullisError('invalid_request', 400, why);

/**
 * The body's bytes.
 * @throws PortcullisError 400 when it ends early, 413 when it is over the limit; what is left unread is dropped with the connection
 */
async function readBody(req: IncomingMessage, limit = BODY_LIMIT): Promise<Buffer> {
  const encoding = req.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new PortcullisError('unsupported_media_type', 415, 'The request body must not be compressed.');
  }
  // Its end was told already: no event would come.
  if (req.destroyed) throw malformed('The request body ended early.');
  const declared = Number(req.headers['content-length'] ?? 0);
  if (declared > limit) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  return new Promise((resolve, reject) => {
    const settle = (error?: PortcullisError): void => {
      req.off('data', take).off('end', settle).off('error', early).off('close', early);
      if (!error) return resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size));
      req.pause();
      return reject(error);
    };
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > limit) settle(tooLarge());
      else chunks.push(chunk);
    };
    // Hung up halfway: nobody reads the answer, but the log is not to take it for a failure of ours.
    const early = (): void => settle(malformed('The request body ended early.'));
    req.on('data', take).on('end', settle).on('error', early).on('close', early);
  });
}

/** Media type and charset of a Content-Type header, lower case. */
function contentType(req: IncomingMessage): { type: string; charset: string | undefined } {
  const [type = '', ...parameters] = (req.headers['content-type'] ?? '').split(';');
  const named = parameters.find((each) => /^\s*charset\b/i.test(each));
  const charset = named && (/^\s*charset="?([^"\s]+)"?\s*$/i.exec(named)?.[1] ?? named);
  return { type: type.trim().toLowerCase(), charset: charset?.toLowerCase() };
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/** A form's members; a repeated name has an array. A plain object without a prototype, so `__proto__` is a name. */
export type Form = Record<string, string | string[] | undefined>;

function decodeText(bytes: Buffer): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw malformed('The request body is not valid UTF-8.');
  }
}

/**
 * One name or value; what is not UTF-8 is refused, where `node:querystring` would guess.
 * @param lenient it is guessed all the same, and may hold NUL
 */
function decodePart(text: string, lenient = false): string {
  if (lenient) return unescape(text.replaceAll('+', ' '));
  let decoded: string;
  try {
    decoded = decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw malformed('The request body is not properly encoded.');
  }
  if (decoded.includes('\0')) throw malformed('The request body holds a NUL character.');
  return decoded;
}

/**
 * Parses `application/x-www-form-urlencoded`, UTF-8 only.
 * @param lenient name of a parameter whose value may be rubbish: a malformed token is not a malformed request, but a
 *   token that is not alive (RFC 7662, 2.2; RFC 7009, 2.2)
 * @throws PortcullisError 400, 413
 */
export async function readForm(req: IncomingMessage, lenient?: string): Promise<Form> {
  const { type, charset } = contentType(req);
  const bytes = await readBody(req);
  if (type !== 'application/x-www-form-urlencoded') {
    if (bytes.length === 0 && type === '') return Object.create(null) as Form;
    throw malformed('The request body must be application/x-www-form-urlencoded.');
  }
  if (charset !== undefined && charset !== 'utf-8') throw malformed('The request body must be UTF-8.');
  const parts = decodeText(bytes).split('&');
  if (parts.length > PARAMETER_LIMIT) throw malformed('The request has too many parameters.');
  const form = Object.create(null) as Form;
  for (const part of parts) {
    if (part === '') continue;
    const at = part.indexOf('=');
    const name = decodePart(at < 0 ? part : part.slice(0, at));
    const value = at < 0 ? '' : decodePart(part.slice(at + 1), name === lenient);
    const before = form[name];
    form[name] = before === undefined ? value : [before, value].flat();
  }
  return form;
}

/**
 * Parses `application/json` (RFC 8259).
 * @throws PortcullisError 400, 413, 415
 */
export async function readJson(req: IncomingMessage): Promise<unknown> {
  const { type, charset } = contentType(req);
  const bytes = await readBody(req);
  if (bytes.length === 0) return undefined;
  if (type !== 'application/json' && !type.endsWith('+json')) {
    throw new PortcullisError('unsupported_media_type', 415, 'The request body must be application/json.');
  }
  if (charset !== undefined && charset !== 'utf-8') throw malformed('The request body must be UTF-8.');
  let document: unknown;
  try {
    document = JSON.parse(decodeText(bytes));
  } catch (error) {
    if (error instanceof PortcullisError) throw error;
    throw malformed('The request body is not valid JSON.');
  }
  if (isDeeper(document, DEPTH_LIMIT)) throw malformed('The request body is nested too deeply.');
  return document;
}

/** The one value of a form's member; undefined when it is absent, empty or repeated. */
export const single = (form: Form, name: string): string | undefined => {
  const value = form[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
};
