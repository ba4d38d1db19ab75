// SPDX-License-Identifier: Apache-2.0

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { UserError } from '../../src/base/errors.ts';
import { compare, describe, describeOutcome } from './compare.ts';
import type { Case } from './case.ts';
import type { Adapter, CpuUnderTest } from './cpu-under-test.ts';
import { disassemble } from './disassemble.ts';
import { makeCase } from './make-case.ts';
import type { Form } from './form.ts';
import { selectForms } from './forms.ts';
import { runNative, whyNoNative } from './native/native.ts';
import { loadVectors, vectorNames } from './vectors.ts';

const CHUNK = 8192;

const USAGE = `node tests/oracle/live.ts [--forms add,shl] [--count 1000] [--seed 1] [--index N] [--show 5] [--vectors] [--list]
  --forms    mnemonics, groups or full form names; all without it
  --count    cases in all (at least one per form)
  --index    only this case of each form, as a report names it
  --show     how many differences to print in full, per form
  --vectors  compare with the committed vectors instead of this computer's processor
  --list     print the forms and stop
  --native   print what the processor answers; needs no adapter`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      forms: { type: 'string', default: '' },
      count: { type: 'string', default: '20000' },
      seed: { type: 'string', default: '1' },
      index: { type: 'string' },
      show: { type: 'string', default: '1' },
      vectors: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      native: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  return values;
}

type Options = ReturnType<typeof readOptions>;

async function loadCpu(): Promise<CpuUnderTest> {
  const path = join(import.meta.dirname, 'adapter.ts');
  if (!existsSync(path))
    throw new UserError(
      'there is no tests/oracle/adapter.ts',
      'export createCpuUnderTest() from it, see cpu-under-test.ts',
    );
  const adapter = (await import(path)) as Adapter;
  return adapter.createCpuUnderTest();
}

function inputsOf(form: Form, options: Options, perForm: number) {
  const seed = Number(options.seed);
  if (options.index !== undefined) return [makeCase(form, seed, Number(options.index))];
  return Array.from({ length: perForm }, (_, index) => makeCase(form, seed, index));
}

/** The cases asked for, with answers, in chunks that keep the runner busy. */
function* liveCases(forms: readonly Form[], options: Options): Generator<Case> {
  const perForm = Math.max(1, Math.floor(Number(options.count) / forms.length));
  let pending: ReturnType<typeof inputsOf> = [];
  const flush = function* (): Generator<Case> {
    const outcomes = runNative(pending);
    for (let n = 0; n < pending.length; n++) yield { ...pending[n], expected: outcomes[n] };
    pending = [];
  };
  for (const form of forms) {
    for (const input of inputsOf(form, options, perForm)) {
      pending.push(input);
      if (pending.length >= CHUNK) yield* flush();
    }
  }
  yield* flush();
}

function* vectorCases(forms: readonly Form[]): Generator<Case> {
  const names = new Set(forms.map((form) => form.name));
  for (const name of vectorNames()) yield* loadVectors(name, (form) => names.has(form));
}

function compareAll(cases: Iterable<Case>, cpu: CpuUnderTest, show: number): number {
  const failures = new Map<string, number>();
  let total = 0;
  for (const test of cases) {
    total++;
    const difference = compare(test, cpu);
    if (!difference) continue;
    const before = failures.get(test.form) ?? 0;
    failures.set(test.form, before + 1);
    if (before < show) console.log(describe(difference, disassemble(test)), '\n');
  }
  for (const [form, count] of failures) console.log(`${String(count).padStart(7)} differ  ${form}`);
  const differ = [...failures.values()].reduce((sum, count) => sum + count, 0);
  console.log(`${total} cases, ${differ} differ in ${failures.size} forms`);
  return differ;
}

function printNative(cases: Iterable<Case>): void {
  for (const test of cases)
    console.log(`${describe({ case: test, mismatches: [] }, disassemble(test))}\n${describeOutcome(test)}\n`);
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options.help) return (console.log(USAGE), 0);
  const forms = selectForms(options.forms.split(',').filter(Boolean));
  if (forms.length === 0) throw new UserError(`no form matches ${options.forms}`, 'see --list');
  if (options.list) return (forms.forEach((form) => console.log(`${form.group.padEnd(10)} ${form.name}`)), 0);
  if (!options.vectors) {
    const why = whyNoNative();
    if (why) throw new UserError(why, 'use --vectors');
  }
  const cases = options.vectors ? vectorCases(forms) : liveCases(forms, options);
  if (options.native) return (printNative(cases), 0);
  return compareAll(cases, await loadCpu(), Number(options.show)) > 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`${error.message}\n${error.hint}`);
  process.exitCode = 2;
}
