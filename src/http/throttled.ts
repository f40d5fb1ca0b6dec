/** What is written down of sign-ins that are refused because there were too many. */
import type { Changes } from '../storage/changes.ts';
import type { AuditEvent } from '../telemetry/events.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Throttle, Throttled } from '../users/throttle.ts';

export interface ThrottledDependencies {
  readonly throttle: Throttle;
  readonly changes: Changes;
  readonly metrics: Pick<Metrics, 'login'>;
}

/** One audit row for each block; the metric counts every refusal. So nobody fills the disk who is not let in anyway. */
export async function recordThrottled(
  { throttle, changes, metrics }: ThrottledDependencies,
  refused: Throttled,
  about: Omit<AuditEvent, 'type' | 'detail'>,
): Promise<void> {
  if (await throttle.first(refused)) await changes.record({ type: 'login.throttled', ...about, detail: {} });
  else metrics.login('throttled');
}
