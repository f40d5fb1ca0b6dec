/** Medians, ratios and verdicts from the samples of a run. */
import { PARTS, type Part } from './alone.ts';
import { OPERATIONS, type Case, type Sample } from './cases.ts';
import { rssMiB } from './cpu.ts';

export const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
export const round = (value: number, digits = 0): number => Number(value.toFixed(digits));
const of = (one: Case, what: keyof Sample): number => median(one.samples.map((sample) => sample[what]));

const find = (cases: readonly Case[], operation: string, target: string): Case | undefined =>
  cases.find((one) => one.operation === operation && one.target.name.startsWith(target));

/** One row for each operation on each target. */
export function operationRows(cases: readonly Case[]): object[] {
  return OPERATIONS.flatMap((operation) =>
    cases
      .filter((one) => one.operation === operation)
      .map((one) => {
        const bare = find(cases, operation, 'bare');
        const micros = one.samples.map((sample) => sample.micros);
        return {
          operation,
          target: one.target.name,
          'requests/s': round(of(one, 'perSecond')),
          'p50 ms': round(of(one, 'p50'), 2),
          'p99 ms': round(of(one, 'p99'), 2),
          'CPU µs': round(of(one, 'micros')),
          'CPU range': `${round(Math.min(...micros))}–${round(Math.max(...micros))}`,
          '× bare': bare ? round(of(one, 'micros') / of(bare, 'micros'), 2) : undefined,
          'RSS MiB': round(rssMiB(one.target.pids[0] ?? 0)),
        };
      }),
  );
}

export const partRows = (parts: readonly Part[]): object[] =>
  parts.map(({ name, kind, samples }) => ({
    part: name,
    database: kind,
    'CPU µs': round(median(samples), 1),
  }));

interface Budget {
  readonly factor: number;
  /** What is added to the bare engine's. */
  readonly adds: readonly string[];
}

const [ES256, READ, WRITE] = PARTS;
const BUDGETS: Readonly<Record<string, Budget>> = {
  client_credentials: { factor: 1.25, adds: [] },
  introspect: { factor: 1.25, adds: [ES256, READ] },
  refresh: { factor: 1.5, adds: [READ, WRITE] },
  jwks: { factor: 1, adds: [] },
  discovery: { factor: 1, adds: [] },
};

/** CPU of one worker and its database against factor × (bare + parts). */
export function budgetRows(cases: readonly Case[], parts: readonly Part[]): object[] {
  return Object.entries(BUDGETS).flatMap(([operation, { factor, adds }]) => {
    const bare = find(cases, operation, 'bare');
    const measured = cases.filter((one) => one.operation === operation && one.target.budget);
    if (!bare) return [];
    return measured.map((one) => {
      const mine = parts.filter(
        ({ name, kind }) => adds.includes(name) && (kind ?? one.target.budget) === one.target.budget,
      );
      const sum = of(bare, 'micros') + mine.reduce((all, { samples }) => all + median(samples), 0);
      const [allowed, used] = [factor * sum, of(one, 'micros')];
      return {
        operation,
        target: one.target.name,
        budget: `${factor} × (${['bare', ...mine.map(({ name }) => name)].join(' + ')})`,
        'allowed µs': round(allowed),
        'used µs': round(used),
        verdict: used <= allowed ? 'holds' : `missed by ${round((used / allowed - 1) * 100)} %`,
      };
    });
  });
}
