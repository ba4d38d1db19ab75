// SPDX-License-Identifier: Apache-2.0
// npm run test:processor: so many cases of every form on this computer's processor, against our engine.

import { fork, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { UserError } from '../../src/base/errors.ts';
import type { Form } from './form.ts';
import { selectForms } from './forms.ts';
import { whyNoNative } from './native/native.ts';
import type { FormResult, WorkerOptions } from './processor-worker.ts';

const USAGE = `npm run test:processor -- [--count-per-form 10000] [--forms add,shl] [--seed 1] [--jit off] [--jobs 1] [--show 1]
  --count-per-form  cases of each form
  --forms           mnemonics, groups or full form names; all without it
  --seed            other cases
  --jit             off: interpreted (default); eager: every instruction compiled before it runs
  --jobs            processes side by side; 0 for one per core
  --show            how many differences to print in full, per form`;

const PROGRESS_EVERY = 10_000;

function readOptions() {
  const { values } = parseArgs({
    options: {
      'count-per-form': { type: 'string', default: '10000' },
      forms: { type: 'string', default: '' },
      seed: { type: 'string', default: '1' },
      jit: { type: 'string', default: 'off' },
      jobs: { type: 'string', default: '1' },
      show: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  });
  return values;
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least)
    throw new UserError(`--${name} ${text} is not a number of ${least} or more`, USAGE);
  return value;
}

type Totals = { forms: number; cases: number; differ: number };

/** What has been answered so far, by group of forms. */
class Summary {
  readonly groups = new Map<string, Totals>();
  readonly failures: string[] = [];
  #cases = 0;
  readonly #expected: number;
  readonly #started = Date.now();
  #shown = Date.now();

  constructor(expected: number) {
    this.#expected = expected;
  }

  add(group: string, { form, cases, differ, reports }: FormResult): void {
    const totals = this.groups.get(group) ?? { forms: 0, cases: 0, differ: 0 };
    this.groups.set(group, totals);
    totals.forms++;
    totals.cases += cases;
    totals.differ += differ;
    this.#cases += cases;
    if (differ > 0) this.failures.push(`${String(differ).padStart(7)} differ  ${form}`);
    for (const report of reports) console.log(`${report}\n`);
    if (Date.now() - this.#shown > PROGRESS_EVERY) this.#progress();
  }

  #progress(): void {
    this.#shown = Date.now();
    const seconds = (this.#shown - this.#started) / 1000;
    const left = (seconds / this.#cases) * (this.#expected - this.#cases);
    const part = Math.floor((100 * this.#cases) / this.#expected);
    console.error(
      `${part} %, ${this.#cases} cases, ${Math.round(this.#cases / seconds)} a second, ${Math.ceil(left / 60)} min left`,
    );
  }

  print(): Totals {
    const all = { forms: 0, cases: 0, differ: 0 };
    const line = (name: string, { forms, cases, differ }: Totals): void =>
      console.log(
        `${name.padEnd(16)}${String(forms).padStart(7)}${String(cases).padStart(12)}${String(differ).padStart(12)}`,
      );
    console.log(`${'group'.padEnd(16)}${'forms'.padStart(7)}${'cases'.padStart(12)}${'differ'.padStart(12)}`);
    for (const [name, totals] of this.groups) {
      line(name, totals);
      for (const key of ['forms', 'cases', 'differ'] as const) all[key] += totals[key];
    }
    line('all', all);
    for (const failure of this.failures) console.log(failure);
    return all;
  }
}

/** Gives forms one by one to processes of their own. Resolves when all are answered. */
async function distribute(
  forms: readonly Form[],
  jobs: number,
  options: WorkerOptions,
  summary: Summary,
): Promise<void> {
  const waiting = [...forms].reverse();
  const groups = new Map(forms.map(({ name, group }) => [name, group]));
  const next = (worker: ChildProcess): void => {
    const form = waiting.pop();
    if (form) worker.send(form.name);
    else worker.disconnect();
  };
  const run = async (): Promise<void> => {
    const worker = fork(join(import.meta.dirname, 'processor-worker.ts'), [JSON.stringify(options)]);
    const ended = new Promise<number | null>((resolve) => worker.on('exit', resolve));
    worker.on('message', (result: FormResult) => {
      summary.add(groups.get(result.form) as string, result);
      next(worker);
    });
    next(worker);
    const status = await ended;
    if (status !== 0) throw new Error(`a worker ended with ${status}`);
  };
  await Promise.all(Array.from({ length: jobs }, run));
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options.help) return (console.log(USAGE), 0);
  const why = whyNoNative();
  if (why) throw new UserError(why, 'the committed vectors need neither: node tests/oracle/live.ts --vectors');
  const forms = selectForms(options.forms.split(',').filter(Boolean));
  if (forms.length === 0)
    throw new UserError(`no form matches ${options.forms}`, 'see node tests/oracle/live.ts --list');
  if (options.jit !== 'off' && options.jit !== 'eager')
    throw new UserError(`--jit ${options.jit} is neither off nor eager`, USAGE);
  const count = wholeNumber('count-per-form', options['count-per-form'], 1);
  const summary = new Summary(count * forms.length);
  const settings = {
    count,
    seed: wholeNumber('seed', options.seed, 0),
    jit: options.jit,
    show: wholeNumber('show', options.show, 0),
  } as const;
  await distribute(forms, wholeNumber('jobs', options.jobs, 0) || availableParallelism(), settings, summary);
  return summary.print().differ > 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`${error.message}\n${error.hint}`);
  process.exitCode = 2;
}
