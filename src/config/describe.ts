/** Settings as an operator may see them: what `config print` shows. */
import { fingerprint } from '../lib/crypto.ts';
import type { Settings } from './schema.ts';

/** Settings by the name of their environment variable; secrets are replaced by what tells them apart at most. */
export const describeSettings = (
  settings: Settings,
): Record<string, string | number | boolean | readonly string[] | null> => ({
  PORT: settings.port,
  HOST: settings.host,
  NODE_ENV: settings.environment,
  PORTCULLIS_ISSUER: settings.issuer,
  DATABASE_URL: withoutCredentials(settings.databaseUrl),
  PORTCULLIS_DATA_DIR: settings.dataDir,
  PORTCULLIS_SECRET_KEYS: settings.secretKeys.map((key) => `(fingerprint ${fingerprint(key)})`),
  PORTCULLIS_BOOTSTRAP_CLIENT_ID: settings.bootstrapClient?.id ?? null,
  PORTCULLIS_BOOTSTRAP_CLIENT_SECRET: settings.bootstrapClient ? '(redacted)' : null,
  PORTCULLIS_TRUST_PROXY: settings.trustProxy,
  PORTCULLIS_FETCH_ALLOW: settings.fetchAllow,
  PORTCULLIS_WORKERS: settings.workers,
  PORTCULLIS_MANAGEMENT_PORT: settings.managementPort,
  PORTCULLIS_MANAGEMENT_HOST: settings.managementHost,
  PORTCULLIS_ACCESS_TOKEN_TTL: settings.accessTokenTtl,
  PORTCULLIS_REFRESH_IDLE_TTL: settings.refreshIdleTtl,
  PORTCULLIS_REFRESH_MAX_TTL: settings.refreshMaxTtl,
  PORTCULLIS_SESSION_IDLE_TTL: settings.sessionIdleTtl,
  PORTCULLIS_SESSION_MAX_TTL: settings.sessionMaxTtl,
  PORTCULLIS_ROTATION_GRACE: settings.rotationGrace,
  PORTCULLIS_MAX_FAMILIES_PER_USER: settings.maxFamiliesPerUser,
  PORTCULLIS_AUDIT_RETENTION_DAYS: settings.auditRetentionDays,
  PORTCULLIS_KEY_ROTATION_DAYS: settings.keyRotationDays,
  PORTCULLIS_KEY_POLL_SECONDS: settings.keyPollSeconds,
  PORTCULLIS_JWKS_MAX_AGE: settings.jwksMaxAge,
  PORTCULLIS_DEFAULT_API: settings.defaultApi,
  PORTCULLIS_DPOP_NONCES: settings.dpopNonces,
  PORTCULLIS_REGISTRATION: settings.registration,
  PORTCULLIS_PASSWORD_POLICY: settings.passwordPolicy,
  PORTCULLIS_ACCOUNT_DELETION: settings.accountDeletion,
  PORTCULLIS_BRAND_NAME: settings.brand.name,
  PORTCULLIS_BRAND_LOGO: settings.brand.logo ?? null,
  PORTCULLIS_BRAND_ACCENT: settings.brand.accent ? Object.values(settings.brand.accent) : null,
  PORTCULLIS_SMTP_URL: settings.smtpUrl === undefined ? null : '(redacted)',
  PORTCULLIS_MAIL_FROM: settings.mailFrom,
});

/** Host, port and database only: user, password and parameters (which may hold either) are left out. */
function withoutCredentials(databaseUrl: string): string {
  if (databaseUrl.startsWith('file:')) return databaseUrl;
  const url = new URL(databaseUrl);
  const user = url.username || url.password ? '(redacted)@' : '';
  return `${url.protocol}//${user}${url.host}${url.pathname}${url.search ? '?(redacted)' : ''}`;
}
