// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CASES, Random, caseAt } from './cases.ts';
import { ProcessorBench } from './processor-bench.ts';
import { ProcessorComparison } from './processor.ts';

/** One dimension, real accesses on a whole machine. `npm run test:walks` does more of them. */

/** No divisor of a power of 2 or 3, so that all modes and accesses take part. */
const STRIDE = 797;

describe('accesses of the processor beside the plain reference', () => {
  for (const jit of ['off', 'eager'] as const) {
    test(`every ${STRIDE}th combination, the tables changed under it, compiled code ${jit}`, () => {
      const random = new Random(2);
      const comparison = new ProcessorComparison(random, jit);
      for (let index = 0; index < CASES; index += STRIDE) comparison.compare(caseAt(index, random));
      // PAE and 32-bit paging have few combinations, and are last.
      for (let index = CASES - 45_000; index < CASES; index += 41) comparison.compare(caseAt(index, random));
      assert.deepEqual(comparison.differences.slice(0, 20), []);
      assert.ok(comparison.faults < comparison.cases - 400, `${comparison.faults} of ${comparison.cases} fault`);
      assert.ok(comparison.kept > 100, 'translations are kept');
    });
  }

  test('addresses that are not canonical: #GP(0), #SS(0) for the stack segment, and no page fault', () => {
    const bench = new ProcessorBench('4-level', true, 'off');
    const one = caseAt(0, new Random(3));
    // prettier-ignore
    const ADDRESSES: readonly [bigint, string, string][] = [
      [0x0000_7fff_ffff_fff0n, '#PF 2', '#PF 2'],
      [0x0000_8000_0000_0000n, '#13 0', '#12 0'],
      [0xffff_7fff_ffff_fff0n, '#13 0', '#12 0'],
      [0x8000_0000_0000_0000n, '#13 0', '#12 0'],
      [0xffff_8000_0000_0000n, '#PF 2', '#PF 2'],
    ];
    for (const [address, data, stack] of ADDRESSES) {
      bench.enter(one, false, false);
      assert.equal(bench.run('write', false, { ebx: address }), data, address.toString(16));
      bench.enter(one, false, false);
      assert.equal(bench.run('stack', false, { ebx: address }), stack, address.toString(16));
    }
    bench.enter(one, false, false);
    assert.equal(bench.run('fetch', false, { ebx: 0x0000_8000_0000_0000n }), '#13 0');
  });
});
