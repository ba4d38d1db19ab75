// SPDX-License-Identifier: Apache-2.0
import { aligned } from './table.ts';
import type { Round } from './round.ts';
import { NOTHING, ROWS } from './rows.ts';
import { median } from './statistics.ts';

/** What one of something cost. */
export interface Price {
  readonly row: string;
  readonly column: string;
  /** CPU microseconds, the median over the rounds. */
  readonly microseconds: number;
}

/** Of the rows that say how often they do it. What beginning and ending a row costs is taken off. */
export function prices(rounds: readonly Round[]): Price[] {
  const columns = [...new Set(rounds.flatMap((round) => Object.keys(round)))] as (keyof Round)[];
  return ROWS.flatMap(({ name, times }) =>
    columns.flatMap((column) => {
      const all = rounds.flatMap((round) => {
        const rows = round[column]?.rows;
        const [row, nothing] = [rows?.[name], rows?.[NOTHING]];
        return times === undefined || row === undefined ? [] : [((row.cpu - (nothing?.cpu ?? 0)) / times) * 1e6];
      });
      return all.length === 0 ? [] : [{ row: name, column, microseconds: median(all) }];
    }),
  );
}

export function pricesText(all: readonly Price[]): string {
  const cells = all.map(({ row, column, microseconds }) => [`${row} in ${column}`, microseconds.toFixed(2)]);
  return all.length === 0 ? '' : aligned([['each', 'CPU us'], ...cells]);
}

/** Resident memory of each column's process, the most over the rounds. */
export function memoryText(rounds: readonly Round[]): string {
  const columns = [...new Set(rounds.flatMap((round) => Object.keys(round)))] as (keyof Round)[];
  const most = (column: keyof Round, of: 'all' | 'largest') =>
    Math.max(...rounds.map((round) => round[column]?.residency[of] ?? 0)) / (1 << 20);
  const cells = columns.map((column) => {
    const [all, largest] = [most(column, 'all'), most(column, 'largest')];
    return [column, all, largest, all - largest].map((cell) => (typeof cell === 'string' ? cell : cell.toFixed(0)));
  });
  return aligned([['resident MiB', 'all', 'largest mapping', 'the rest'], ...cells]);
}
