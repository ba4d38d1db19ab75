// SPDX-License-Identifier: Apache-2.0
import type { Column } from './contenders.ts';
import type { ColumnReadings, Round } from './round.ts';
import { ROWS } from './rows.ts';
import type { RowSet } from './rows.ts';
import { geometricMean, median, spread } from './statistics.ts';
import type { Spread } from './statistics.ts';

/** One line of the table: CPU seconds of each column, and ratios of columns. */
export interface ResultLine {
  readonly name: string;
  /** Medians over the rounds, in seconds. Empty for a mean. */
  readonly cpu: Partial<Record<Column, number>>;
  /** By "bare/qemu": of the ratio within each round. */
  readonly ratios: Readonly<Record<string, Spread>>;
}

// prettier-ignore
const PAIRS: readonly (readonly [Column, Column])[] = [
  ['bare', 'qemu'], ['bare', 'bochs'], ['bare', 'native'], ['bochs', 'qemu'], ['native', 'qemu'],
  ['l1', 'bare'], ['l2', 'l1'], ['l2', 'bochs-l2'],
];

const MEANS: readonly { readonly name: string; readonly set: RowSet; readonly without: readonly string[] }[] = [
  { name: 'compute, mean', set: 'compute', without: [] },
  { name: 'compute without string moves, mean', set: 'compute', without: ['movsb', 'stos'] },
  { name: 'system, mean', set: 'system', without: [] },
];

/** CPU seconds of one column in one round; undefined when it was not measured. */
type Value = (column: ColumnReadings | undefined) => number | undefined;

/** The rows that were run, means of sets, and the way to userspace. */
export function resultLines(rounds: readonly Round[]): ResultLine[] {
  const measured = ROWS.filter(({ name }) => rounds.some((round) => columnsOf(round).some(({ rows }) => name in rows)));
  const boot = withoutNesting(line('boot', rounds, (column) => column?.userspace));
  const rows = measured.map(({ name }) => line(name, rounds, (column) => column?.rows[name]?.cpu));
  const means = MEANS.map(({ name, set, without }) => {
    const names = measured.filter((row) => row.set === set && !without.includes(row.name)).map((row) => row.name);
    return meanLine(name, names, rounds);
  });
  return [boot, ...rows, ...means.filter(({ ratios }) => Object.keys(ratios).length > 0)];
}

/** L2's way to userspace begins with L1's: the ratio of the two says nothing. */
function withoutNesting({ name, cpu, ratios }: ResultLine): ResultLine {
  return { name, cpu, ratios: Object.fromEntries(Object.entries(ratios).filter(([pair]) => pair !== 'l2/l1')) };
}

const columnsOf = (round: Round): ColumnReadings[] => Object.values(round);

function line(name: string, rounds: readonly Round[], value: Value): ResultLine {
  const columns = [...new Set(rounds.flatMap((round) => Object.keys(round) as Column[]))];
  const cpu: ResultLine['cpu'] = {};
  for (const column of columns) {
    const values = rounds.map((round) => value(round[column])).filter((one) => one !== undefined);
    if (values.length > 0) cpu[column] = median(values);
  }
  return { name, cpu, ratios: ratiosOf(rounds, (round, ours, theirs) => ratio(round, ours, theirs, value)) };
}

/** Of the rows that both columns have; the mean is taken in each round. */
function meanLine(name: string, rows: readonly string[], rounds: readonly Round[]): ResultLine {
  const ratios = ratiosOf(rounds, (round, ours, theirs) => {
    const all = rows.map((row) => ratio(round, ours, theirs, (column) => column?.rows[row]?.cpu));
    const there = all.filter((one) => one !== undefined);
    return there.length > 1 ? geometricMean(there) : undefined;
  });
  return { name, cpu: {}, ratios };
}

type RatioOf = (round: Round, ours: Column, theirs: Column) => number | undefined;

function ratiosOf(rounds: readonly Round[], of: RatioOf): Record<string, Spread> {
  const all = PAIRS.map(([ours, theirs]) => {
    const values = rounds.map((round) => of(round, ours, theirs)).filter((one) => one !== undefined);
    return [`${ours}/${theirs}`, values] as const;
  });
  return Object.fromEntries(
    all.filter(([, values]) => values.length > 0).map(([name, values]) => [name, spread(values)]),
  );
}

/** Undefined when one was not measured, or took less than the clock of CPU time can show. */
function ratio(round: Round, ours: Column, theirs: Column, value: Value): number | undefined {
  const [a, b] = [value(round[ours]), value(round[theirs])];
  return a === undefined || b === undefined || a <= 0 || b <= 0 ? undefined : a / b;
}
