// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { createCpuUnderTest } from '../oracle/adapter.ts';
import { makeStream } from '../oracle/stream.ts';
import { conditionPrograms } from './condition-programs.ts';
import { ReferenceProcessor } from './processor.ts';
import { assertSameEnd, lockstep, memoryOf } from './side-by-side.ts';

const STREAMS = 120;
const SEED = 11;

describe('random programs of described instructions', () => {
  const streams = Array.from({ length: STREAMS }, (_, index) => makeStream('described', SEED, index, true));

  test('each instruction: the interpreter against the reference', () => {
    const interpreter = createCpuUnderTest('off');
    const reference = new ReferenceProcessor();
    let instructions = 0;
    let outside = 0;
    for (const stream of streams) {
      const [some, without] = lockstep(stream, interpreter, reference);
      instructions += some;
      outside += without;
      assert.deepEqual(memoryOf(interpreter), memoryOf(reference), `memory after stream ${stream.index}`);
    }
    assert.ok(instructions > 30 * STREAMS, `${instructions} instructions`);
    assert.ok(outside < instructions / 5, `${outside} of ${instructions} instructions were microcode's`);
    assert.ok(reference.executed.size > 500, `${reference.executed.size} forms`);
  });

  test('each program: the JIT against the interpreter', () => {
    const interpreter = createCpuUnderTest('off');
    const compiled = createCpuUnderTest('eager');
    for (const stream of streams) assertSameEnd(stream, interpreter, compiled);
    assert.ok(compiled.regions > STREAMS, `${compiled.regions} regions were compiled`);
  });
});

describe('every condition, after every operation that sets flags', () => {
  const programs = conditionPrograms();

  test('the reference against the interpreter', () => {
    const interpreter = createCpuUnderTest('off');
    const reference = new ReferenceProcessor();
    for (const program of programs) assertSameEnd(program, interpreter, reference);
  });

  test('the JIT against the interpreter', () => {
    const interpreter = createCpuUnderTest('off');
    const compiled = createCpuUnderTest('eager');
    for (const program of programs) assertSameEnd(program, interpreter, compiled);
  });
});
