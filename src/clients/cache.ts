/** A bounded cache of lookups that can forget: what the registries keep in memory. */

export interface CacheOptions {
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Milliseconds that a found value is kept. */
  readonly ttlMs: number;
  /** Milliseconds that "there is none" is kept. */
  readonly missTtlMs: number;
  /** Values, and as many misses, at most. */
  readonly max: number;
}

export interface Cache<T> {
  /** The value under `key`, from memory or by `load`; parallel callers share one load. */
  get(key: string): Promise<T | undefined>;
  /** Forgets everything; a load that is under way is not kept. */
  forget(): void;
}

interface Entry<T> {
  readonly value: T | undefined;
  readonly until: number;
}

/** Keeps what `load` finds. A failed load is not kept. */
export function createCache<T>(
  load: (key: string) => Promise<T | undefined>,
  { now, ttlMs, missTtlMs, max }: CacheOptions,
): Cache<T> {
  // Misses live apart: a flood of made-up keys must not push out what exists.
  const [hits, misses] = [new Map<string, Entry<T>>(), new Map<string, Entry<T>>()];
  let loading = new Map<string, Promise<T | undefined>>();
  const keep = (key: string, value: T | undefined): void => {
    const [entries, ttl] = value === undefined ? [misses, missTtlMs] : [hits, ttlMs];
    entries.delete(key);
    entries.set(key, { value, until: now() + ttl });
    const [oldest] = entries.keys();
    if (entries.size > max && oldest !== undefined) entries.delete(oldest);
  };
  return {
    async get(key) {
      const entry = hits.get(key) ?? misses.get(key);
      if (entry && entry.until > now()) return entry.value;
      hits.delete(key);
      misses.delete(key);
      const underWay = loading.get(key);
      if (underWay) return underWay;
      const round = loading;
      const promise = load(key)
        .then((value) => {
          if (round === loading) keep(key, value);
          return value;
        })
        .finally(() => round.delete(key));
      round.set(key, promise);
      return promise;
    },
    forget() {
      hits.clear();
      misses.clear();
      loading = new Map();
    },
  };
}
