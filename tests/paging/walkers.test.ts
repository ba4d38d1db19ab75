// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CASES, Random, caseAt, flippedBits } from './cases.ts';
import { TableMemory } from './chain.ts';
import { WalkerComparison } from './walkers.ts';

/** One dimension, both walkers of src. `npm run test:walks` does all combinations. */

const STRIDE = 29;

function compared(fill: (comparison: WalkerComparison, random: Random) => void): WalkerComparison {
  const random = new Random(1);
  const comparison = new WalkerComparison(new TableMemory(), random);
  fill(comparison, random);
  assert.deepEqual(comparison.differences.slice(0, 20), []);
  return comparison;
}

describe('page walks beside the plain reference', () => {
  test('every bit of every entry of sound tables, turned over', () => {
    const done = compared((comparison, random) => {
      for (const one of flippedBits(random)) comparison.compare(one);
    });
    assert.ok(done.faults > 1000 && done.faults < done.cases - 1000, `${done.faults} of ${done.cases} fault`);
  });

  test(`every ${STRIDE}th combination of rights, sizes, modes and accesses`, () => {
    const done = compared((comparison, random) => {
      for (let index = 0; index < CASES; index += STRIDE) comparison.compare(caseAt(index, random));
    });
    assert.ok(done.cases > 90_000 && done.faults < done.cases - 5_000, `${done.faults} of ${done.cases} fault`);
  });
});
