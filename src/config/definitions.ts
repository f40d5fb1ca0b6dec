/** Every setting: its name, how it is read, and what the documentation says of it. */
import type { z } from 'zod';
import * as read from './values.ts';

interface Definition<S extends z.ZodType> {
  /** Name of the environment variable. */
  readonly name: string;
  /** From text to value. */
  readonly schema: S;
  /** The default, in words. */
  readonly default: string;
  readonly description: string;
  /** Also read from the file that `NAME_FILE` names; never shown. */
  readonly secret: boolean;
}

const setting = <S extends z.ZodType>(
  name: string,
  schema: S,
  defaultText: string,
  description: string,
): Definition<S> => ({ name, schema, default: defaultText, description, secret: false });

const secret = <S extends z.ZodType>(...args: Parameters<typeof setting<S>>): Definition<S> => ({
  ...setting(...args),
  secret: true,
});

/** All settings, by their key in the code, in the order in which the documentation lists them. */
export const definitions = {
  port: setting('PORT', read.integer(0, 65_535), '3000', 'public port; 0 takes any free one'),
  host: setting(
    'HOST',
    read.host,
    '127.0.0.1; in production 0.0.0.0',
    'address that the public port binds to',
  ),
  environment: setting(
    'NODE_ENV',
    read.nodeEnv,
    'development',
    '`production`: issuer must be https, secret keys and database given, nothing seeded or printed',
  ),
  issuer: setting(
    'PORTCULLIS_ISSUER',
    read.issuer,
    '`http://localhost:PORT`',
    'issuer URL; may carry a path',
  ),
  databaseUrl: secret(
    'DATABASE_URL',
    read.databaseUrl,
    '`file:DATA_DIR/portcullis.db`',
    '`file:…` (SQLite) or `postgresql://…`',
  ),
  dataDir: setting(
    'PORTCULLIS_DATA_DIR',
    read.dataDir,
    '`./data`',
    'folder for what the server keeps in files',
  ),
  secretKeys: secret(
    'PORTCULLIS_SECRET_KEYS',
    read.secretKeys,
    'development: generated once into the data folder',
    'base64url of 32 bytes each, comma-separated; the first wraps the data keys, all unwrap',
  ),
  bootstrapId: setting(
    'PORTCULLIS_BOOTSTRAP_CLIENT_ID',
    read.bootstrapId,
    'development: generated into `admin.json`',
    'first start only: id of a client_credentials client with every admin scope',
  ),
  bootstrapSecret: secret(
    'PORTCULLIS_BOOTSTRAP_CLIENT_SECRET',
    read.bootstrapSecret,
    'development: generated into `admin.json`',
    'first start only: the secret of that client',
  ),
  trustProxy: setting(
    'PORTCULLIS_TRUST_PROXY',
    read.trustProxy,
    '0',
    'number of trusted proxy hops, or list of CIDR blocks; else X-Forwarded-* is ignored',
  ),
  fetchAllow: setting(
    'PORTCULLIS_FETCH_ALLOW',
    read.fetchAllow,
    'none',
    'comma-separated `host[:port]` on private addresses that outbound fetches may reach, over http too',
  ),
  workers: setting('PORTCULLIS_WORKERS', read.workers, '1', 'number of processes, or `auto` = one a core'),
  managementPort: setting(
    'PORTCULLIS_MANAGEMENT_PORT',
    read.integer(0, 65_535),
    'PORT+1',
    'port of `/metrics` and of `/health/*` with detail',
  ),
  managementHost: setting(
    'PORTCULLIS_MANAGEMENT_HOST',
    read.host,
    '127.0.0.1',
    'address that the management port binds to',
  ),
  accessTokenTtl: setting(
    'PORTCULLIS_ACCESS_TOKEN_TTL',
    read.lifetime,
    '600',
    'seconds that an access token lives; APIs and clients may override it',
  ),
  refreshIdleTtl: setting(
    'PORTCULLIS_REFRESH_IDLE_TTL',
    read.lifetime,
    '1209600 (14 days)',
    'seconds that an unused refresh token lives; clients may override it',
  ),
  refreshMaxTtl: setting(
    'PORTCULLIS_REFRESH_MAX_TTL',
    read.lifetime,
    '7776000 (90 days)',
    'seconds from the first refresh token to the end of its family; clients may override it',
  ),
  sessionIdleTtl: setting(
    'PORTCULLIS_SESSION_IDLE_TTL',
    read.lifetime,
    '1209600 (14 days)',
    'seconds that a browser session lives after the browser was last here',
  ),
  sessionMaxTtl: setting(
    'PORTCULLIS_SESSION_MAX_TTL',
    read.lifetime,
    '7776000 (90 days)',
    'seconds that a browser session lives after sign-in',
  ),
  rotationGrace: setting(
    'PORTCULLIS_ROTATION_GRACE',
    read.integer(0, 60),
    '0',
    'seconds (0–60) in which a spent refresh token may be retried; 0 = strict; clients may override it',
  ),
  maxFamiliesPerUser: setting(
    'PORTCULLIS_MAX_FAMILIES_PER_USER',
    read.integer(0, 1_000_000),
    '0 (no cap)',
    'refresh token families of one user over all clients; the oldest ends first',
  ),
  auditRetentionDays: setting(
    'PORTCULLIS_AUDIT_RETENTION_DAYS',
    read.integer(0, 36_500),
    '0 (for ever)',
    'days that audit events are kept; the background sweep deletes older ones',
  ),
  keyRotationDays: setting(
    'PORTCULLIS_KEY_ROTATION_DAYS',
    read.integer(1, 3650),
    '90',
    'age in days at which a signing key is rotated',
  ),
  keyPollSeconds: setting(
    'PORTCULLIS_KEY_POLL_SECONDS',
    read.integer(1, 3600),
    '30',
    'seconds within which every node notices a new signing key',
  ),
  jwksMaxAge: setting(
    'PORTCULLIS_JWKS_MAX_AGE',
    read.integer(0, 86_400),
    '300',
    'seconds that `/jwks` and discovery may be cached; a new key is published this long, and a poll, before it signs',
  ),
  defaultApi: setting(
    'PORTCULLIS_DEFAULT_API',
    read.apiIdentifier,
    '`ISSUER/api`',
    'audience when neither `resource` nor a scope names an API',
  ),
  dpopNonces: setting(
    'PORTCULLIS_DPOP_NONCES',
    read.dpopNonces,
    'off',
    '`required`: DPoP proofs must hold a nonce of this server; `offered`: they may (RFC 9449, 8)',
  ),
  registration: setting(
    'PORTCULLIS_REGISTRATION',
    read.registration,
    'closed',
    '`open`: people make accounts by themselves, with a confirmed e-mail address',
  ),
  passwordPolicy: setting(
    'PORTCULLIS_PASSWORD_POLICY',
    read.passwordPolicy,
    'length',
    'what a new password needs: `length`: 12 characters; `strength`: 8 characters and a zxcvbn score of 3 or more',
  ),
  accountDeletion: setting(
    'PORTCULLIS_ACCOUNT_DELETION',
    read.flag,
    'false',
    '`true`: people may delete their own accounts',
  ),
  brandName: setting('PORTCULLIS_BRAND_NAME', read.brandName, 'Portcullis', 'name on all pages'),
  brandLogo: setting(
    'PORTCULLIS_BRAND_LOGO',
    read.brandLogo,
    'a portcullis',
    'path of an `.svg` or `.png` file, square, up to 256 KiB: the logo on all pages',
  ),
  brandAccent: setting(
    'PORTCULLIS_BRAND_ACCENT',
    read.brandAccent,
    'a dark teal and a light one',
    '`#rrggbb,#rrggbb`: colour of buttons and links on light and on dark pages; a contrast below 4.5 to 1 stops the start',
  ),
  smtpUrl: secret(
    'PORTCULLIS_SMTP_URL',
    read.smtpUrl,
    'development: mails are written to `DATA_DIR/mail`; production: no mail',
    '`smtp://` or `smtps://USER:PASSWORD@HOST:PORT`: new passwords and confirmed addresses by e-mail',
  ),
  mailFrom: setting(
    'PORTCULLIS_MAIL_FROM',
    read.mailFrom,
    '`no-reply@` and the host of the issuer',
    'address that mails come from',
  ),
};

/** See `definitions`. */
export type Definitions = typeof definitions;

/** One row of the documentation's table of settings. */
export interface SettingRow {
  readonly name: string;
  readonly default: string;
  readonly description: string;
  readonly secret: boolean;
}

/** The documentation's table of settings, in its order. */
export const settingsTable: readonly SettingRow[] = Object.values(definitions).map(
  ({ name, default: defaultText, description, secret: isSecret }) => ({
    name,
    default: defaultText,
    description,
    secret: isSecret,
  }),
);
