// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { compare, describe as describeDifference } from '../oracle/compare.ts';
import { disassemble } from '../oracle/disassemble.ts';
import { loadVectors, vectorNames } from '../oracle/vectors.ts';
import { PLACES, ReferenceProcessor } from './processor.ts';

const SHOWN = 3;

/** No encoding leads to them in 64-bit mode, or no processor of the vectors' vendor agrees with Intel's about them. */
// prettier-ignore
const NEVER_EXECUTED = [
  'TEST:r8m8', 'TEST:r16m16', 'TEST:r32m32', 'TEST:r64m64', 'MOVSXD:r16m16', 'MOVSXD:r16r32', 'MOVSXD:r16m32', 'SALC:', 'MOVHLPS:x128m128',
];

// The descriptions, evaluated as they read, against what a real processor answered.
describe('the reference against committed vectors', () => {
  const cpu = new ReferenceProcessor();
  for (const name of vectorNames()) {
    test(name, () => {
      const reports: string[] = [];
      let differ = 0;
      for (const each of loadVectors(name)) {
        const difference = compare(each, cpu);
        if (cpu.outside !== undefined || !difference) continue;
        if (differ++ < SHOWN) reports.push(describeDifference(difference, disassemble(each)));
      }
      assert.equal(differ, 0, `${differ} cases differ\n${reports.join('\n')}`);
    });
  }

  test('every form of every description was executed', () => {
    const missing = [...PLACES.keys()].filter((key) => !cpu.executed.has(key));
    assert.deepEqual(missing, NEVER_EXECUTED);
  });
});
