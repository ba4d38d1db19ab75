// SPDX-License-Identifier: Apache-2.0
// `npm run test:mutation [-- --table NAME] [--sample N] [--seed S] [--deep]`: breaks the three tables, one thing at a time, and says
// what no test has noticed. Exit status 1 if fewer than 95 % of the mutants of a table are caught.

import { parseArgs } from 'node:util';
import { Builds } from './builds.ts';
import { TABLES, runMutants, sample, testFiles } from './run.ts';
import type { MutatedTable, Progress, Verdict } from './run.ts';
import { reasonFor } from './survivors.ts';

const WANTED = 0.95;
const PATIENCE = 120_000;

interface Choice {
  readonly tables: readonly MutatedTable[];
  readonly count: number;
  readonly seed: number;
  readonly deep: boolean;
}

/** Undefined after saying what is wrong. */
function choice(): Choice | undefined {
  const { values } = parseArgs({
    options: {
      table: { type: 'string' },
      sample: { type: 'string' },
      seed: { type: 'string', default: '1' },
      deep: { type: 'boolean', default: false },
    },
  });
  const tables = TABLES.filter(({ name }) => values.table === undefined || name === values.table);
  const [count, seed] = [Number(values.sample ?? Infinity), Number(values.seed)];
  if (tables.length === 0)
    return wrong(`no table ${values.table}; there are ${TABLES.map(({ name }) => name).join(', ')}`);
  if (!(count >= 1)) return wrong(`--sample takes a number of mutants, not ${values.sample}`);
  if (!Number.isSafeInteger(seed)) return wrong(`--seed takes a whole number, not ${values.seed}`);
  return { tables, count, seed, deep: values.deep };
}

function wrong(sentence: string): undefined {
  console.error(`test:mutation: ${sentence}`);
  process.exitCode = 2;
}

function show({ done, all, caught }: Progress, began: number, name: string): void {
  const left = ((performance.now() - began) / done) * (all - done);
  const line = `${name}: ${done} of ${all}, ${((100 * caught) / done).toFixed(1)} % caught, ${Math.ceil(left / 1000)} s to go`;
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}${done === all ? '\n' : ''}`);
  else if (done % 200 === 0 || done === all) console.error(line);
}

async function run(table: MutatedTable, { count, seed, deep }: Choice, builds: Builds): Promise<Verdict[]> {
  const mutants = sample(table.mutants(), count, seed);
  const began = performance.now();
  return runMutants(mutants, testFiles(table, deep), builds, (progress, { mutant, caughtBy }) => {
    if (caughtBy === undefined) console.error(`\nsurvives: ${mutant.file}: ${mutant.id}`);
    show(progress, began, table.name);
  });
}

function report(results: ReadonlyMap<string, readonly Verdict[]>): boolean {
  let good = true;
  console.log('\ntable         mutants  caught  survived  caught');
  for (const [name, verdicts] of results) {
    const survived = verdicts.filter(({ caughtBy }) => caughtBy === undefined).length;
    const share = 1 - survived / verdicts.length;
    good &&= share >= WANTED;
    const numbers = [verdicts.length, verdicts.length - survived, survived].map((number) => `${number}`.padStart(8));
    console.log(`${name.padEnd(13)}${numbers.join('')}  ${(100 * share).toFixed(1).padStart(6)} %`);
  }
  for (const [name, verdicts] of results) {
    const survivors = verdicts.filter(({ caughtBy }) => caughtBy === undefined);
    if (survivors.length > 0) console.log(`\nSurvivors in ${name}:`);
    for (const { mutant } of survivors)
      console.log(`  ${mutant.file}: ${mutant.id}\n      ${reasonFor(mutant) ?? 'no reason known'}`);
  }
  return good;
}

async function main(): Promise<void> {
  const chosen = choice();
  if (chosen === undefined) return;
  const builds = new Builds(PATIENCE);
  try {
    const results = new Map<string, readonly Verdict[]>();
    for (const table of chosen.tables) results.set(table.name, await run(table, chosen, builds));
    if (!report(results)) process.exitCode = 1;
  } finally {
    builds.close();
  }
}

await main();
