// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { createCpuUnderTest } from './adapter.ts';
import type { CaseInput } from './case.ts';
import { compare, describe as describeDifference } from './compare.ts';
import type { CpuUnderTest } from './cpu-under-test.ts';
import { disassemble } from './disassemble.ts';
import { makeCase } from './make-case.ts';
import { FORMS } from './forms.ts';
import { STREAM_FORMS } from './forms/stream.ts';
import { runNative, whyNoNative } from './native/native.ts';

/** Not the vectors' seed: other cases than the committed ones. */
const SEED = 4;
const CASES = 4;
const STREAMS = 300;
const SHOWN = 3;

function assertSame(inputs: readonly CaseInput[], cpu: CpuUnderTest): void {
  const outcomes = runNative(inputs);
  const differences = inputs.flatMap((input, n) => compare({ ...input, expected: outcomes[n] }, cpu) ?? []);
  const reports = differences.slice(0, SHOWN).map((each) => describeDifference(each, disassemble(each.case)));
  assert.equal(differences.length, 0, `${differences.length} of ${inputs.length} cases differ\n${reports.join('\n')}`);
}

// A taste of npm run test:processor.
describe("this computer's processor", { skip: whyNoNative() ?? false }, () => {
  test(`${CASES} cases of every form`, () => {
    const inputs = FORMS.flatMap((form) => Array.from({ length: CASES }, (_, index) => makeCase(form, SEED, index)));
    assertSame(inputs, createCpuUnderTest());
  });

  const streams = Array.from({ length: STREAMS }, (_, index) => makeCase(STREAM_FORMS[0], SEED, index));
  test(`${STREAMS} streams of instructions, interpreted`, () => assertSame(streams, createCpuUnderTest('off')));
  test(`${STREAMS} streams of instructions, compiled`, () => {
    const cpu = createCpuUnderTest('eager');
    assertSame(streams, cpu);
    assert.ok(cpu.regions > STREAMS, `${cpu.regions} regions were compiled`);
  });

  test('a stream ends with INT3, mostly, and a fault ends others', () => {
    const vectors = runNative(streams).map(({ fault }) => fault?.vector);
    assert.ok(vectors.filter((vector) => vector === 3).length > STREAMS * 0.85);
    assert.ok(vectors.includes(14) && !vectors.includes(undefined));
  });
});
