// SPDX-License-Identifier: Apache-2.0

/** One line of the table. Times are nanoseconds. */
export interface ExitRow {
  readonly name: string;
  readonly samples: number;
  readonly total: number;
  readonly minimum: number;
  readonly maximum: number;
  /** Standard error of the mean over the mean. */
  readonly relativeDeviation: number;
}

const MICROSECOND = 1000;

const percent = (part: number, whole: number): string => `${(whole === 0 ? 0 : (100 * part) / whole).toFixed(2)}%`;
const microseconds = (nanoseconds: number): string => `${(nanoseconds / MICROSECOND).toFixed(2)}us`;

/** Widths as `perf kvm stat report` prints them. */
// prettier-ignore
const COLUMNS: readonly { head: string; width: number; cell: (row: ExitRow, all: Totals) => string }[] = [
  { head: 'VM-EXIT',   width: 20, cell: (row) => row.name },
  { head: 'Samples',   width: 10, cell: (row) => String(row.samples) },
  { head: 'Samples%',  width:  9, cell: (row, all) => percent(row.samples, all.samples) },
  { head: 'Time%',     width:  9, cell: (row, all) => percent(row.total, all.total) },
  { head: 'Min Time',  width: 11, cell: (row) => microseconds(row.minimum) },
  { head: 'Max Time',  width: 11, cell: (row) => microseconds(row.maximum) },
  { head: 'Avg time',  width: 11, cell: (row) => microseconds(row.samples === 0 ? 0 : row.total / row.samples) },
];
/** The average's deviation stands after it, under the same head. */
const AVERAGE_HEAD_WIDTH = 16;

interface Totals {
  readonly samples: number;
  readonly total: number;
}

/** The layout of `perf kvm stat report`: rows in the given order, totals below. `title` is its first line. */
export function perfKvmStat(title: string, rows: readonly ExitRow[]): string {
  const all: Totals = {
    samples: rows.reduce((sum, row) => sum + row.samples, 0),
    total: rows.reduce((sum, row) => sum + row.total, 0),
  };
  const heads = COLUMNS.map(({ head, width }) => head.padStart(head === 'Avg time' ? AVERAGE_HEAD_WIDTH : width));
  const lines = rows.map((row) => {
    const cells = COLUMNS.map(({ width, cell }) => cell(row, all).padStart(width));
    return `${cells.join(' ')} ( +-${(100 * row.relativeDeviation).toFixed(2).padStart(7)}% )`;
  });
  const foot = `Total Samples:${all.samples}, Total events handled time:${microseconds(all.total)}.`;
  return [title, '', heads.join(' '), '', ...lines, '', foot, ''].join('\n');
}
