/** When secrets were last used: collected in memory, written behind the requests' back. */
import type { Clock } from '../lib/clock.ts';
import type { ClientSecretStore } from '../storage/client-secrets.ts';

export interface SecretUse {
  /** A client authenticated with this secret. Never waits, never throws. */
  used(clientId: string, secretId: string): void;
  /** Writes what is not written yet; to be called on the way down. */
  close(): Promise<void>;
}

export interface SecretUseOptions {
  /** Milliseconds between a use and its writing. */
  readonly delayMs?: number;
  /** Told of a failed write; the use is then lost. */
  readonly onError: (error: unknown) => void;
}

const ONCE_MS = 60_000;

/** Notes each secret's use at most once a minute; the store sees to it across nodes. */
export function createSecretUse(
  store: Pick<ClientSecretStore, 'noteUse'>,
  clock: Clock,
  { delayMs = 1_000, onError }: SecretUseOptions,
): SecretUse {
  const noted = new Map<string, number>();
  let waiting = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  const write = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    const batch = waiting;
    waiting = new Map();
    for (const [id, at] of noted) if (at <= clock.now() - ONCE_MS) noted.delete(id);
    if (batch.size > 0) writing = writing.then(() => store.noteUse(batch)).catch(onError);
    return writing;
  };
  return {
    used(_clientId, secretId) {
      const now = clock.now();
      if (now - (noted.get(secretId) ?? -Infinity) < ONCE_MS) return;
      noted.set(secretId, now);
      waiting.set(secretId, now);
      timer ??= setTimeout(() => void write(), delayMs).unref();
    },
    close: write,
  };
}
