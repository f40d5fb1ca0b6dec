/** Whether a family is alive: one SQL expression for refresh, introspection, lists and caps. */
import type { Clock } from '../lib/clock.ts';

/**
 * True while nothing has revoked the family: it is not dead, its client is enabled and of its generation, so is
 * its user, access was not taken back, and the session that it hangs on is there, with the same user.
 * Needs `ALIVE_JOINS` and, as $2, `aliveParam`. Ends by time are judged by the node's clock, not here.
 */
export const ALIVE = `(f.dead_at IS NULL AND c.enabled AND c.generation = f.client_generation
    AND u.enabled AND u.generation = f.user_generation AND k.generation = f.consent_generation
    AND (f.session_uid IS NULL OR (s.user_id = f.user_id AND s.user_generation = u.generation AND s.expires_at > $2)))`;

/** The rows that `ALIVE` looks at, beside `families f`. */
export const ALIVE_JOINS = `LEFT JOIN clients c ON c.id = f.client_id LEFT JOIN users u ON u.id = f.user_id
    LEFT JOIN consents k ON k.user_id = f.user_id AND k.client_id = f.client_id
    LEFT JOIN sessions s ON s.uid = f.session_uid`;

/** $2 of a statement with `ALIVE`: epoch milliseconds. */
export const aliveParam = (clock: Clock): number => clock.now();
