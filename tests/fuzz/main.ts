// SPDX-License-Identifier: Apache-2.0
// `npm run fuzz`: see README.md. Exit status 0: nothing found, 1: something was, 2: the options are wrong.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../../src/base/errors.ts';
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import { coverageOfFuzzing } from './coverage.ts';
import { configurationsOf, readFinding, runAlone, shrunk, writeFinding } from './findings.ts';
import { fuzz } from './fuzzer.ts';
import { runJobs } from './jobs.ts';
import type { JobResult } from './jobs.ts';
import type { Program } from './program.ts';
import type { Statistics } from './statistics.ts';
import { Watchdog } from './watchdog.ts';

const JIT_MODES: readonly JitMode[] = ['off', 'on', 'soon', 'eager'];

/** A program takes milliseconds. */
const MOST_SECONDS = 60;

const OPTIONS = {
  seed: { type: 'string', default: '1' },
  entries: { type: 'string', default: '100000' },
  steps: { type: 'string' },
  time: { type: 'string' },
  profile: { type: 'string' },
  paging: { type: 'string' },
  jit: { type: 'string', default: 'off' },
  out: { type: 'string', default: 'fuzz-findings' },
  findings: { type: 'string', default: '1' },
  replay: { type: 'string' },
  jobs: { type: 'string', default: '1' },
  job: { type: 'string' },
  coverage: { type: 'boolean', default: false },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

function numberOf(values: Values, name: 'seed' | 'entries' | 'steps' | 'time' | 'findings' | 'jobs' | 'job'): number {
  const number = Number(values[name] ?? Infinity);
  if (Number.isNaN(number) || number < 0)
    throw new UserError(`--${name} ${values[name]} is not a number`, `Give --${name} a number.`);
  return number;
}

function replay(path: string): number {
  const { program, difference } = readFinding(path);
  const seen = runAlone(program);
  console.log(`was:  ${difference}\nnow:  ${seen ?? 'nothing is wrong'}`);
  return seen === undefined ? 0 : 1;
}

function keep(values: Values, number: number, program: Program, difference: string): void {
  mkdirSync(values.out, { recursive: true });
  const path = join(values.out, `finding-${program.profile}-${program.paging}-${program.seed}.json`);
  console.log(`\nfinding ${number}, seed ${program.seed}, ${program.profile}, ${program.paging}: ${difference}`);
  const finding = shrunk(program, difference);
  writeFinding(path, finding ?? { format: 'turtles-fuzz-1', difference, program });
  if (finding === undefined) console.log('  alone on new machines it shows nothing; the file has the whole program');
  else
    console.log(
      `  smaller: ${finding.program.steps.length} steps, ${finding.program.patches.length} patches: ${finding.difference}`,
    );
  console.log(`  again: npm run fuzz -- --replay ${path}`);
}

function run(values: Values): number {
  const configurations = configurationsOf(values.profile, values.paging);
  if (configurations.length === 0)
    throw new UserError(
      `there is no ${values.profile ?? ''} with ${values.paging ?? ''}`,
      'Profiles are paper-1 and modern-1; paging is multi-dimensional or shadow-on-ept.',
    );
  const jit = JIT_MODES.find((mode) => mode === values.jit);
  if (jit === undefined) throw new UserError(`--jit ${values.jit} is not a mode`, `Modes are ${JIT_MODES.join(', ')}.`);
  const [entries, steps, seconds, mostFindings] = (['entries', 'steps', 'time', 'findings'] as const).map((name) =>
    numberOf(values, name),
  );
  const share =
    values.job === undefined ? { number: 0, of: 1 } : { number: numberOf(values, 'job'), of: numberOf(values, 'jobs') };
  const start = performance.now();
  let findings = 0;
  let told = start;
  const more = (so: Statistics): boolean => {
    const now = performance.now();
    if (now - told > 10_000) {
      console.log(
        `${Math.round((now - start) / 1000)} s: ${so.programs} programs, ${so.steps} steps, ${so.attempted} entries, ${so.reachedL2} reached L2, ${findings} findings`,
      );
      told = now;
    }
    const enough = values.steps === undefined ? so.attempted >= entries / share.of : so.steps >= steps / share.of;
    return !enough && now - start < seconds * 1000;
  };
  const found = (program: Program, difference: string): boolean => {
    keep(values, ++findings, program, difference);
    return findings < mostFindings;
  };
  const watchdog = new Watchdog(MOST_SECONDS, values.out);
  const result = fuzz({ configurations, seed: numberOf(values, 'seed'), more, found, jit, share, watchdog });
  console.log(`\n${result.statistics.table()}`);
  console.log(
    `most accesses by L0 for one exit ${result.mostAccesses}; looks at L0's memory and tables ${result.looks}`,
  );
  console.log(`findings                 ${findings}`);
  const { programs, steps: stepsDone } = result.statistics;
  process.send?.({ programs, steps: stepsDone, findings } satisfies JobResult);
  return findings === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.replay !== undefined) return replay(values.replay);
  const jobs = numberOf(values, 'jobs');
  if (!Number.isInteger(jobs) || jobs < 1)
    throw new UserError(`--jobs ${values.jobs} is not a number of processes`, 'Give --jobs a whole number from 1 on.');
  if (jobs > 1 && values.job === undefined) return runJobs(import.meta.filename, process.argv.slice(2), jobs);
  return values.coverage ? coverageOfFuzzing(() => run(values)) : run(values);
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UserError) && (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') !== true)
    throw error;
  console.error(`fuzz: ${(error as Error).message}${error instanceof UserError ? `\n${error.hint}` : ''}`);
  process.exitCode = 2;
}
