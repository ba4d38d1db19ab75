// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Random } from './cases.ts';
import { ComposedComparison } from './composed.ts';
import { rightsOfEachPage } from './ept-cases.ts';

/** EPT12 and EPT02: what L1 sees of L2's accesses when L0 fills EPT02 from it. `npm run test:walks` does more. */

const STRIDE = 17;
const RANDOM_CASES = 2000;

describe('EPT02 shows L1 what EPT12 says', () => {
  for (const [profile, accessedDirty] of [
    ['modern-1', false],
    ['modern-1', true],
    ['paper-1', false],
  ] as const) {
    test(`${profile}, ${accessedDirty ? 'with' : 'without'} accessed and dirty flags`, () => {
      const random = new Random(8);
      const comparison = new ComposedComparison(random, profile);
      let number = 0;
      for (const one of rightsOfEachPage(random, accessedDirty)) if (number++ % STRIDE === 0) comparison.compare(one);
      for (let n = 0; n < RANDOM_CASES; n++) comparison.compare(comparison.any(accessedDirty));
      assert.deepEqual(comparison.differences.slice(0, 20), []);
      for (const outcome of ['ok', '#PF', 'violation', 'misconfiguration', 'device'])
        assert.ok((comparison.outcomes.get(outcome) ?? 0) > 10, `${outcome}: ${comparison.outcomes.get(outcome)}`);
      assert.ok(comparison.exits > comparison.cases, 'entries of EPT02 come one by one');
    });
  }
});
