// SPDX-License-Identifier: Apache-2.0
// Line coverage of L0's nested part while the fuzzer runs, from V8's own counts.
import { readFileSync, readdirSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** What the inspector tells of a script. */
interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}
interface Script {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

const FOLDERS = ['nested', 'paging'].map((name) => join(import.meta.dirname, '../../src/l0', name));

/** Lines of code in a file, and those of them that were reached. */
export interface FileCoverage {
  readonly folder: string;
  readonly file: string;
  readonly lines: number;
  readonly reached: number;
  readonly missed: readonly number[];
}

/** Runs `body` and prints the table. */
export async function coverageOfFuzzing(body: () => number): Promise<number> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  const status = body();
  const { result } = await session.post('Profiler.takePreciseCoverage');
  session.disconnect();
  console.log(`\n${table(FOLDERS.flatMap((folder) => folderCoverage(folder, result)))}`);
  return status;
}

function folderCoverage(folder: string, scripts: readonly Script[]): FileCoverage[] {
  const sources = readdirSync(folder).filter((name) => name.endsWith('.ts') && !/\.(test|testing)\.ts$/.test(name));
  return sources.map((name) => {
    const path = join(folder, name);
    const script = scripts.find(({ url }) => url === pathToFileURL(path).href);
    return { folder: basename(folder), file: name, ...linesOf(readFileSync(path, 'utf8'), script) };
  });
}

/** A line counts when it holds code, and is missed when its first character of code lies in a range that never ran. */
function linesOf(source: string, script: Script | undefined): Pick<FileCoverage, 'lines' | 'reached' | 'missed'> {
  const ranges = script?.functions.flatMap((each) => each.ranges) ?? [];
  const missed: number[] = [];
  let [lines, at, inComment, inType] = [0, 0, false, false];
  source.split('\n').forEach((line, number) => {
    const text = line.trim();
    if (text.startsWith('/*')) inComment = true;
    if (/^(export )?(interface|type) .*[{=]$/.test(text)) inType = true;
    const isCode =
      !inComment &&
      !inType &&
      text !== '' &&
      !text.startsWith('//') &&
      !text.startsWith('import ') &&
      /[a-z]/i.test(text);
    if (isCode) {
      lines++;
      if (script === undefined || countAt(ranges, at + line.indexOf(text)) === 0) missed.push(number + 1);
    }
    if (inComment && text.endsWith('*/')) inComment = false;
    if (inType && /^};?$/.test(text)) inType = false;
    at += line.length + 1;
  });
  return { lines, reached: lines - missed.length, missed };
}

/** The count of the smallest range around an offset. */
function countAt(ranges: readonly Range[], offset: number): number {
  let best: Range | undefined;
  for (const range of ranges) {
    if (range.startOffset > offset || range.endOffset <= offset) continue;
    if (best === undefined || range.endOffset - range.startOffset <= best.endOffset - best.startOffset) best = range;
  }
  return best?.count ?? 1;
}

function table(rows: readonly FileCoverage[]): string {
  const share = (part: readonly FileCoverage[]): string => {
    const [reached, lines] = [
      part.reduce((sum, row) => sum + row.reached, 0),
      part.reduce((sum, row) => sum + row.lines, 0),
    ];
    return `${((100 * reached) / lines).toFixed(1).padStart(5)} %  ${`${reached} of ${lines}`.padStart(12)}`;
  };
  const line = (row: FileCoverage): string =>
    `${`l0/${row.folder}/${row.file}`.padEnd(40)} ${share([row])}  ${row.missed.slice(0, 12).join(' ')}${row.missed.length > 12 ? ' ...' : ''}`;
  const folders = [...new Set(rows.map(({ folder }) => folder))];
  return [
    ...rows.map(line),
    ...folders.map((folder) => `${`l0/${folder}`.padEnd(40)} ${share(rows.filter((row) => row.folder === folder))}`),
  ].join('\n');
}
