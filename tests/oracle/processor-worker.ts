// SPDX-License-Identifier: Apache-2.0

import { JIT_DEFAULT } from '../../src/machine/cpu/jit/jit.ts';
import { createCpuUnderTest } from './adapter.ts';
import { compare, describe } from './compare.ts';
import type { CpuUnderTest } from './cpu-under-test.ts';
import { disassemble } from './disassemble.ts';
import { makeCase } from './make-case.ts';
import type { Form } from './form.ts';
import { selectForms } from './forms.ts';
import { runNative } from './native/native.ts';

export type WorkerOptions = {
  readonly count: number;
  readonly seed: number;
  readonly jit: 'off' | 'eager';
  readonly show: number;
};

export type FormResult = {
  readonly form: string;
  readonly cases: number;
  readonly differ: number;
  readonly reports: readonly string[];
};

const CHUNK = 8192;

/** `count` cases of a form on both processors. */
export function compareForm(
  form: Form,
  cpu: CpuUnderTest,
  { count, seed, show }: Omit<WorkerOptions, 'jit'>,
): FormResult {
  const reports: string[] = [];
  let differ = 0;
  for (let from = 0; from < count; from += CHUNK) {
    const inputs = Array.from({ length: Math.min(CHUNK, count - from) }, (_, n) => makeCase(form, seed, from + n));
    runNative(inputs).forEach((expected, n) => {
      const difference = compare({ ...inputs[n], expected }, cpu);
      if (difference && differ++ < show) reports.push(describe(difference, disassemble(inputs[n])));
    });
  }
  return { form: form.name, cases: count, differ, reports };
}

if (process.send) {
  const options = JSON.parse(process.argv[2]) as WorkerOptions;
  JIT_DEFAULT.mode = options.jit;
  const cpu = createCpuUnderTest();
  process.on('message', (name: string) => {
    const form = selectForms([name]).find((each) => each.name === name) as Form;
    process.send?.(compareForm(form, cpu, options));
  });
}
