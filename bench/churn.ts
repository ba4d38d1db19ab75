// SPDX-License-Identifier: Apache-2.0
// Minutes of fork, execve, exit, wait in L2: does the process grow, does it become slower?
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ownContenders } from './contenders.ts';
import { cpuSecondsOf, follow, residencyOf } from './follow.ts';
import { makeImage } from './image.ts';
import { parseMarker } from './markers.ts';
import { median } from './statistics.ts';

/** What was seen when one row had ended. */
interface Sample {
  /** Seconds of CPU time of the row. */
  readonly cpu: number;
  /** Resident bytes of the process, and what is not its largest mapping. */
  readonly all: number;
  readonly rest: number;
}

const ROW = 'exec';

/** `churn [--minutes N] [--json FILE]` */
export async function churnBench(args: readonly string[]): Promise<void> {
  const options = { minutes: { type: 'string', default: '10' }, json: { type: 'string' } } as const;
  const { values } = parseArgs({ args: [...args], options });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes ${values.minutes}: that is no time`);
  const folder = mkdtempSync(join(tmpdir(), 'turtles-bench-'));
  try {
    const image = await makeImage(folder, [ROW, 'again']);
    const samples = await churn(image, minutes * 60_000);
    console.log(churnText(samples));
    if (values.json !== undefined)
      writeFileSync(values.json, `${JSON.stringify({ minutes, samples }, undefined, 2)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** For so many milliseconds of wall clock from L2's first row on. */
async function churn(image: Awaited<ReturnType<typeof makeImage>>, milliseconds: number): Promise<Sample[]> {
  const [contender] = ownContenders(['l2'], []);
  const samples: Sample[] = [];
  let open = { at: 0, cpu: 0 };
  await follow(await contender!.start(image), (text, pid) => {
    const marker = text.startsWith('L2: ') ? parseMarker(text) : undefined;
    if (marker?.kind === 'failure') throw new Error(marker.what);
    const cpu = cpuSecondsOf(pid);
    if (marker?.kind === 'begin') open = { at: open.at || performance.now(), cpu };
    if (marker?.kind !== 'end') return false;
    const { all, largest } = residencyOf(pid);
    samples.push({ cpu: cpu - open.cpu, all, rest: all - largest });
    console.log(`  ${samples.length}: ${(cpu - open.cpu).toFixed(2)} CPU s, ${mebibytes(all)} MiB resident`);
    return performance.now() - open.at > milliseconds;
  });
  return samples;
}

const mebibytes = (bytes: number): string => (bytes / (1 << 20)).toFixed(0);

/** The second quarter against the last one: the first quarter warms up. */
export function churnText(samples: readonly Sample[]): string {
  const quarter = Math.floor(samples.length / 4);
  if (quarter === 0) return `only ${samples.length} rows ended: too few to compare`;
  const [early, late] = [samples.slice(quarter, quarter * 2), samples.slice(-quarter)];
  const of = (part: readonly Sample[], value: (sample: Sample) => number) => median(part.map(value));
  const says = (value: (sample: Sample) => number, text: (value: number) => string) =>
    `${text(of(early, value))} in the second quarter, ${text(of(late, value))} in the last`;
  return [
    `${samples.length} rows of ${ROW} in L2, medians:`,
    `CPU seconds of a row: ${says(
      ({ cpu }) => cpu,
      (cpu) => cpu.toFixed(3),
    )}`,
    `resident MiB: ${says(({ all }) => all, mebibytes)}`,
    `resident MiB without the guest's memory: ${says(({ rest }) => rest, mebibytes)}`,
  ].join('\n');
}
