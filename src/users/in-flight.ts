/** Counts what is under way in this process, by names of whatever kind, and turns away what is too much at once. */

export interface InFlight {
  /**
   * Takes a place under each name, or under none.
   * @param places names, and how many may hold a place under each
   * @returns what gives them back; undefined when one is full
   */
  enter(places: readonly (readonly [name: string, limit: number])[]): (() => void) | undefined;
}

export function createInFlight(): InFlight {
  const taken = new Map<string, number>();
  const under = (name: string): number => taken.get(name) ?? 0;
  return {
    enter(places) {
      if (places.some(([name, limit]) => under(name) >= limit)) return undefined;
      for (const [name] of places) taken.set(name, under(name) + 1);
      return () => {
        for (const [name] of places) {
          const left = under(name) - 1;
          if (left > 0) taken.set(name, left);
          else taken.delete(name);
        }
      };
    },
  };
}
