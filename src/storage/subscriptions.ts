/** Which webhooks want which events, kept in memory: an event that nobody wants costs nothing. */
import type { Database } from './database.ts';

/** Subscribes to events of every type, those of later releases too. */
export const EVERY_TYPE = '*';

export interface Subscriptions {
  /** Ids of the enabled webhooks that want events of a type. */
  of(type: string): readonly string[];
  /** Whether there is an enabled webhook. */
  any(): boolean;
  /** Reads them again. */
  reload(): Promise<void>;
}

/** Reads them. */
export async function openSubscriptions({ prisma }: Database): Promise<Subscriptions> {
  let byType: ReadonlyMap<string, readonly string[]> = new Map();
  let toAll: readonly string[] = [];
  let reading: Promise<void> = Promise.resolve();

  async function read(): Promise<void> {
    const rows = await prisma.webhook.findMany({
      where: { enabled: true },
      select: { id: true, events: true },
    });
    const wanted = rows.flatMap(({ id, events }) =>
      (JSON.parse(events) as string[]).map((type) => ({ id, type })),
    );
    const grouped = Map.groupBy(wanted, ({ type }) => type);
    const ids = (type: string): string[] => [...new Set(grouped.get(type)?.map(({ id }) => id))];
    toAll = ids(EVERY_TYPE);
    byType = new Map(
      [...grouped.keys()].map((type) => [type, [...new Set([...ids(type), ...toAll])]] as const),
    );
  }
  await read();
  return {
    of: (type) => byType.get(type) ?? toAll,
    any: () => byType.size > 0,
    reload() {
      // One after another: a read that began earlier must not undo a later one.
      reading = reading.then(read, read);
      return reading;
    },
  };
}
