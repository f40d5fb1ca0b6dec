/** Client secrets that are about to end although their client still uses them: for a gauge, and an alert. */
import type { Clock } from '../lib/clock.ts';
import type { Database } from './database.ts';

/** Of one client the secret that ends first; epoch milliseconds. */
export interface ExpiringSecret {
  readonly clientId: string;
  readonly expiresAt: number;
}

const DAY = 86_400_000;

/** At most twenty, the next to end first: secrets that end within two days and were used within one. */
export const expiringSecrets = ({ sql }: Database, clock: Clock): Promise<ExpiringSecret[]> => {
  const now = clock.now();
  return sql.read(
    'client-secrets.expiring',
    `SELECT client_id AS "clientId", MIN(expires_at) AS "expiresAt" FROM client_secrets
     WHERE revoked_at IS NULL AND expires_at > $1 AND expires_at <= $2 AND last_used_at > $3
     GROUP BY client_id ORDER BY 2, 1 LIMIT 20`,
    [now, now + 2 * DAY, now - DAY],
  );
};
