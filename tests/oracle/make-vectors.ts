// SPDX-License-Identifier: Apache-2.0

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { UserError } from '../../src/base/errors.ts';
import { makeCase } from './make-case.ts';
import type { Form } from './form.ts';
import { FORMS } from './forms.ts';
import { runNative, whyNoNative } from './native/native.ts';
import { encodeVectors } from './vectors.ts';

// node tests/oracle/make-vectors.ts: asks this computer's processor and writes vectors/GROUP.vec.gz.

const SEED = 1;
/** Cases per form. The files together stay below 700 KiB. */
const PER_FORM: Record<string, number> = {
  invalid: 3,
  hint: 6,
  branch: 24,
  stream: 120,
  prefix: 24,
  'extended-state': 24,
  segment: 60,
  integer: 60,
  bits: 60,
  stack: 100,
  string: 60,
};
const USUAL = 48;

const why = whyNoNative();
if (why) throw new UserError(why, 'vectors are made where the native oracle runs');

const directory = join(import.meta.dirname, 'vectors');
mkdirSync(directory, { recursive: true });
let total = 0;
let size = 0;
for (const [group, forms] of Map.groupBy(FORMS, (form) => form.group)) {
  const file = gzipSync(encodeVectors(SEED, answer(forms, PER_FORM[group] ?? USUAL)), { level: 9 });
  writeFileSync(join(directory, `${group}.vec.gz`), file);
  size += file.length;
  console.log(`${group.padEnd(12)} ${String(forms.length).padStart(4)} forms ${String(file.length).padStart(7)} bytes`);
}
console.log(`${total} cases, ${size} bytes`);

function answer(forms: readonly Form[], perForm: number) {
  const inputs = forms.flatMap((form) => Array.from({ length: perForm }, (_, index) => makeCase(form, SEED, index)));
  const outcomes = runNative(inputs);
  const cases = inputs.map((input, n) => ({ ...input, expected: outcomes[n] }));
  total += cases.length;
  return forms.map(({ name }, n) => ({ name, cases: cases.slice(n * perForm, (n + 1) * perForm) }));
}
