/** Time as an argument: the one place that reads the machine's clock. */

/** Tells the time; tests pass their own. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
}

/** The machine's clock. */
export const systemClock: Clock = { now: () => Date.now() };

/** Epoch seconds, rounded down, of epoch milliseconds: the unit of JWT claims (RFC 7519, NumericDate). */
export const toSeconds = (milliseconds: number): number => Math.floor(milliseconds / 1000);
