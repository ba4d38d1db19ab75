// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { createCpuUnderTest } from './adapter.ts';
import { compare, describe as describeDifference } from './compare.ts';
import type { CpuUnderTest } from './cpu-under-test.ts';
import { disassemble } from './disassemble.ts';
import { loadVectors, vectorNames } from './vectors.ts';

const SHOWN = 3;

// Our engine against what a real processor answered.
describe('committed vectors', () => {
  let cpu: CpuUnderTest;
  before(() => {
    cpu = createCpuUnderTest();
  });

  for (const name of vectorNames()) {
    test(name, () => {
      const reports: string[] = [];
      let differ = 0;
      let total = 0;
      for (const each of loadVectors(name)) {
        total++;
        const difference = compare(each, cpu);
        if (!difference) continue;
        if (differ++ < SHOWN) reports.push(describeDifference(difference, disassemble(each)));
      }
      assert.equal(differ, 0, `${differ} of ${total} cases differ\n${reports.join('\n')}`);
    });
  }
});
