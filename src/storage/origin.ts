/** Where a change comes from, for its audit row. */
import type { EventSubject } from '../telemetry/events.ts';

/** Who asked for a change, and from where. */
export type Origin = Pick<EventSubject, 'actor' | 'ip' | 'requestId'>;

/** The members of `origin` that an audit row has. */
export const originOf = ({ actor, ip, requestId }: Origin): Origin => ({ actor, ip, requestId });
