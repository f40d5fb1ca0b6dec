/** How the text of one setting is read: zod schemas from a string to a value. Used by `definitions.ts`. */
import { isIP } from 'node:net';
import { z } from 'zod';

/** Ten years in seconds: the longest lifetime that a setting or a client takes. */
export const TEN_YEARS = 315_360_000;

const fault = (ctx: z.RefinementCtx, message: string): never => {
  ctx.addIssue({ code: 'custom', message });
  return z.NEVER;
};

const parseUrl = (text: string): URL | undefined => URL.parse(text) ?? undefined;

const items = (text: string): string[] => text.split(',').flatMap((part) => part.trim() || []);

/** A whole number in decimal digits. */
export const integer = (min: number, max: number) =>
  z.string().transform((text, ctx) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : fault(ctx, `must be a whole number from ${min} to ${max}`);
  });

/** A lifetime in seconds. */
export const lifetime = integer(1, TEN_YEARS);

export const nodeEnv = z
  .enum(['development', 'production', 'test'], { error: 'must be development or production' })
  .transform((value) => (value === 'production' ? 'production' : 'development'));

export const host = z
  .string()
  .regex(/^[A-Za-z0-9.:_-]+$/, { error: 'must be an IP address or a host name, without port or brackets' });

/** Issuer identifier (OIDC Discovery 1.0, 3; RFC 8414, 2): an origin and an optional plain path. */
export const issuer = z.string().transform((text, ctx) => {
  const url = parseUrl(text);
  if (!url || !['http:', 'https:'].includes(url.protocol)) return fault(ctx, 'must be an http(s) URL');
  if (/[?#]/.test(text)) return fault(ctx, 'must have no query and no fragment');
  if (url.username || url.password) return fault(ctx, 'must carry no user name or password');
  const path = url.pathname.replace(/\/+$/, '');
  if (!/^(?:\/[A-Za-z0-9._~-]+)*$/.test(path)) {
    return fault(ctx, 'its path may hold only letters, digits and . _ ~ - between single slashes');
  }
  return url.origin + path;
});

export const registration = z.enum(['open', 'closed'], { error: 'must be open or closed' });

/** A name on pages: one line, without invisible characters. */
export const brandName = z.string().regex(/^[^\p{C}\p{Zl}\p{Zp}]{1,40}$/u, {
  error: 'must be 1 to 40 characters, none of them invisible',
});

export const brandLogo = z
  .string()
  .regex(/[^/]\.(?:svg|png)$/, { error: 'must be the path of a file that ends in .svg or .png' });

/** One colour for each theme. */
export const brandAccent = z.string().transform((text, ctx) => {
  const [light, dark, ...more] = items(text);
  const colour = /^#[0-9a-f]{6}$/i;
  return light && dark && more.length === 0 && colour.test(light) && colour.test(dark)
    ? { light, dark }
    : fault(ctx, 'must be two colours, for light and for dark pages: #rrggbb,#rrggbb');
});

export const passwordPolicy = z.enum(['length', 'strength'], { error: 'must be length or strength' });

/** Yes or no. */
export const flag = z
  .enum(['true', 'false'], { error: 'must be true or false' })
  .transform((text) => text === 'true');

export const dpopNonces = z.enum(['off', 'offered', 'required'], {
  error: 'must be off, offered or required',
});

/** The value holds a password: messages never repeat it. */
export const smtpUrl = z.string().transform((text, ctx) => {
  const url = parseUrl(text);
  return url?.hostname && /^smtps?:$/.test(url.protocol)
    ? text
    : fault(ctx, 'must be smtp://… or smtps://…, with a host');
});

export const mailFrom = z.email({ error: 'must be an e-mail address' });

/** SQLite file or PostgreSQL. The value may hold a password: messages never repeat it. */
export const databaseUrl = z.string().transform((text, ctx) => {
  if (text.startsWith('file:')) {
    const path = text.slice('file:'.length);
    return path && !/[?#]|^:memory:$/.test(path)
      ? text
      : fault(ctx, 'file: must be followed by a plain path');
  }
  const url = parseUrl(text);
  if (!url || !/^postgres(?:ql)?:$/.test(url.protocol)) {
    return fault(ctx, 'must be file:PATH (SQLite) or postgresql://…');
  }
  return url.pathname.length > 1 ? text : fault(ctx, 'must name a database: postgresql://HOST/DATABASE');
});

export const dataDir = z
  .string()
  .transform((text) => (text.length > 1 ? text.replace(/\/+$/, '') : text))
  .pipe(z.string().min(1, { error: 'must be a folder' }));

/** Wrapping keys: base64url of 32 bytes each, separated by commas or white space. */
export const secretKeys = z.string().transform((text, ctx) => {
  const parts = text.split(/[\s,]+/).filter(Boolean);
  const keys: Buffer[] = [];
  for (const [index, part] of parts.entries()) {
    const key = Buffer.from(part, 'base64url');
    const which = `key ${index + 1}`;
    if (key.length !== 32 || key.toString('base64url') !== part.replace(/=+$/, '')) {
      return fault(ctx, `${which} is not base64url of exactly 32 bytes`);
    }
    if (key.every((byte) => byte === key[0]))
      return fault(ctx, `${which} is one byte repeated, not a secret`);
    if (keys.some((other) => other.equals(key))) return fault(ctx, `${which} is given twice`);
    keys.push(key);
  }
  return keys.length > 0 ? keys : fault(ctx, 'must hold at least one key');
});

export const bootstrapId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$/, {
  error: 'must be 1 to 128 letters, digits and . _ ~ -, the first a letter or digit',
});

/** Client secrets are VSCHAR (RFC 6749, appendix A.2). */
export const bootstrapSecret = z
  .string()
  .regex(/^[\x21-\x7e]{16,256}$/, { error: 'must be 16 to 256 printable ASCII characters without spaces' });

const isNetwork = (text: string): boolean => {
  const [address = '', bits, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
};

/** A number of hops, or addresses and CIDR blocks (or the names that proxy-addr gives to some). */
export const trustProxy = z.string().transform((text, ctx): number | readonly string[] => {
  if (/^\d+$/.test(text)) return Number(text) <= 32 ? Number(text) : fault(ctx, 'trusts at most 32 hops');
  const networks = items(text);
  const bad = networks.find((each) => !isNetwork(each) && !/^(?:loopback|linklocal|uniquelocal)$/.test(each));
  return bad === undefined
    ? networks
    : fault(ctx, `must be a number of hops or a list of CIDR blocks; ${JSON.stringify(bad)} is neither`);
});

/** `host[:port]` entries, in lower case. */
export const fetchAllow = z.string().transform((text, ctx): readonly string[] => {
  const hosts = items(text).map((each) => each.toLowerCase());
  const bad = hosts.find((each) => {
    const url = parseUrl(`http://${each}`);
    return !url || !/^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/.test(each);
  });
  return bad === undefined
    ? hosts
    : fault(ctx, `must be a list of host[:port]; ${JSON.stringify(bad)} is not one`);
});

/** Number of worker processes; `auto` reads as 0 and is resolved by the caller. */
export const workers = z.union([z.literal('auto').transform(() => 0), integer(1, 256)], {
  error: 'must be auto or a whole number from 1 to 256',
});

/** A resource indicator: an absolute URI without fragment (RFC 8707, 2). */
export const apiIdentifier = z.string().refine((text) => URL.canParse(text) && !/[#\s]/.test(text), {
  error: 'must be an absolute URI without fragment',
});
