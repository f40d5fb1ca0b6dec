/** CPU time and memory of processes, from the kernel's own accounting. Linux only. */
import { readdirSync, readFileSync } from 'node:fs';

/** The processes and all that descend from them. */
function tree(roots: readonly number[]): Set<number> {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // ended meanwhile
    }
  }
  const wanted = new Set(roots);
  for (let before = 0; before < wanted.size;) {
    before = wanted.size;
    for (const [pid, parent] of parents) if (wanted.has(parent)) wanted.add(pid);
  }
  return wanted;
}

/** Threads one by one: a process's own `schedstat` tells of its first thread alone; `stat` counts in ticks of 10 ms. */
function nanosecondsOf(pid: number): number {
  let nanoseconds = 0;
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`))
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  } catch {
    // ended meanwhile
  }
  return nanoseconds;
}

const used = (roots: readonly number[]): Map<number, number> =>
  new Map([...tree(roots)].map((pid) => [pid, nanosecondsOf(pid)]));

/**
 * Starts to measure the processes and all their children.
 * @returns tells the microseconds used since; without those of children that have ended meanwhile, as idle connections
 * and short-lived workers of PostgreSQL do
 */
export function measureCpu(roots: readonly number[]): () => number {
  const before = used(roots);
  return () => {
    let nanoseconds = 0;
    for (const [pid, now] of used(roots)) nanoseconds += now - (before.get(pid) ?? 0);
    return nanoseconds / 1000;
  };
}

/** Resident memory of a process and its children, MiB; pages that they share are counted for each. */
export function rssMiB(root: number): number {
  let kibibytes = 0;
  for (const pid of tree([root])) {
    const line = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    kibibytes += Number(line?.[1] ?? 0);
  }
  return kibibytes / 1024;
}
