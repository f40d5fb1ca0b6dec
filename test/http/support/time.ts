/** Time that a test moves, for the server in this process and everything in it. */
import { vi } from 'vitest';

/** Stops the clock's hands at a whole second; timers go on. To be undone by `vi.useRealTimers()`. */
export const stopTime = (): void => {
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(Math.ceil(Date.now() / 1000) * 1000);
};

/** Lets so many seconds pass at once. */
export const pass = (seconds: number): void => void vi.setSystemTime(Date.now() + seconds * 1000);
