// SPDX-License-Identifier: Apache-2.0
// Runs mutants against the tests that should find them, cheapest first, and stops at the first that fails.

import { readdirSync } from 'node:fs';
import { inRoot } from './builds.ts';
import type { Builds, Step } from './builds.ts';
import { changeOf } from './mutant.ts';
import type { Mutant } from './mutant.ts';
import { entryCheckMutants } from './entry-checks.ts';
import { originMutants } from './origins.ts';
import { routeMutants } from './routes.ts';

export interface MutatedTable {
  readonly name: 'entry-checks' | 'origins' | 'routes';
  readonly mutants: () => Mutant[];
  /** Test files and folders, from the root: those that are made for the table. */
  readonly tests: readonly string[];
  /** With `--deep`: what stands around it, and whole machines; half a minute for each survivor of the others. */
  readonly deep: readonly string[];
}

const WHOLE = ['tests/nested/transparency.test.ts'];

export const TABLES: readonly MutatedTable[] = [
  {
    name: 'routes',
    mutants: routeMutants,
    tests: ['src/l0/nested/exit-routes-exact.test.ts', 'src/l0/nested/exit-routes.test.ts'],
    deep: ['src/l0/nested', ...WHOLE],
  },
  {
    name: 'origins',
    mutants: originMutants,
    tests: ['-controls', '-values', '-changes', ''].map((name) => `src/l0/nested/vmcs02${name}.test.ts`),
    deep: ['src/l0/nested', ...WHOLE],
  },
  {
    name: 'entry-checks',
    mutants: entryCheckMutants,
    tests: ['src/arch/vmx'],
    deep: ['src/l0/nested', 'src/machine/vtx', ...WHOLE],
  },
];

/** The test files of a table, in order, each once. */
export function testFiles({ tests, deep }: MutatedTable, deeply: boolean): string[] {
  const files = [...tests, ...(deeply ? deep : [])].flatMap((path) =>
    path.endsWith('.ts')
      ? [path]
      : readdirSync(inRoot(path))
          .filter((name) => name.endsWith('.test.ts'))
          .sort()
          .map((name) => `${path}/${name}`),
  );
  return [...new Set(files)];
}

export interface Verdict {
  readonly mutant: Mutant;
  /** The test that failed, or undefined: the mutant survives. */
  readonly caughtBy?: string;
  readonly milliseconds: number;
}

export interface Progress {
  readonly done: number;
  readonly all: number;
  readonly caught: number;
}

/** Puts the file that found the last mutant first: neighbours are found by the same. */
function promoted(steps: readonly Step[], file: string): Step[] {
  return [...steps.filter((step) => step.file === file), ...steps.filter((step) => step.file !== file)];
}

/** Files slower than this stay where they are. */
const QUICK = 4000;

/** The right build is tried before the first mutant, and again after so many: one must not leave anything to the next. */
const MUTANTS_A_ROUND = 200;

/** Throws if the right build fails a test: what is caught or survives would mean nothing. Gives the files that are quick. */
async function tryRightBuild(builds: Builds, steps: readonly Step[]): Promise<Set<string>> {
  const quick = new Set<string>();
  for (const step of steps) {
    const { failed, milliseconds } = await builds.run(new Map(), [step]);
    if (failed !== undefined) throw new Error(`without a mutation ${step.file} fails: ${failed.name}: ${failed.error}`);
    if (milliseconds < QUICK) quick.add(step.file);
  }
  return quick;
}

export async function runMutants(
  mutants: readonly Mutant[],
  files: readonly string[],
  builds: Builds,
  progress: (progress: Progress, verdict: Verdict) => void = () => {},
): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  let plan: readonly Step[] = files.map((file) => ({ file: inRoot(file) }));
  let quick = new Set<string>();
  let caught = 0;
  for (const mutant of mutants) {
    if (verdicts.length % MUTANTS_A_ROUND === 0) quick = await tryRightBuild(builds, plan);
    const { failed, milliseconds } = await builds.run(changeOf(mutant), plan, 'skip');
    if (failed !== undefined) caught++;
    if (failed !== undefined && quick.has(failed.file)) plan = promoted(plan, failed.file);
    const verdict = { mutant, milliseconds, ...(failed === undefined ? {} : { caughtBy: failed.name }) };
    verdicts.push(verdict);
    progress({ done: verdicts.length, all: mutants.length, caught }, verdict);
  }
  if (verdicts.length > 0) await tryRightBuild(builds, plan);
  return verdicts;
}

/** `count` of them, by a seed, in their order. */
export function sample<Item>(items: readonly Item[], count: number, seed: number): Item[] {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  const random = (): number => {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state = (state ^ (state << 5)) >>> 0;
    return state / 2 ** 32;
  };
  const keyed = items.map((item, index) => ({ item, index, key: random() }));
  keyed.sort((a, b) => a.key - b.key);
  return keyed
    .slice(0, count)
    .sort((a, b) => a.index - b.index)
    .map(({ item }) => item);
}
