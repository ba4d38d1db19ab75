// SPDX-License-Identifier: Apache-2.0
import type { ResultLine } from './results.ts';

/** Ratios without a machine of ours are for the chart. */
const OF_OTHERS = /^(bochs|native)\//;

/** Lines as text: CPU seconds in columns, then the medians of ratios. */
export function tableText(lines: readonly ResultLine[]): string {
  const columns = [...new Set(lines.flatMap(({ cpu }) => Object.keys(cpu)))];
  const ratios = [...new Set(lines.flatMap((one) => Object.keys(one.ratios)))].filter((name) => !OF_OTHERS.test(name));
  const cells = lines.map(({ name, cpu, ratios: own }) => [
    name,
    ...columns.map((column) => number((cpu as Record<string, number>)[column])),
    ...ratios.map((ratio) => number(own[ratio]?.median)),
  ]);
  return aligned([['CPU seconds', ...columns, ...ratios], ...cells]);
}

const number = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(2));

/** The first cell of a line to the left, the others to the right. */
export function aligned(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, at) => Math.max(...lines.map((cells) => cells[at]!.length)));
  const text = (cells: readonly string[]) =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join('  ');
  return lines.map((cells) => `${text(cells)}\n`).join('');
}
