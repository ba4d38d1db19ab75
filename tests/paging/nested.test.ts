// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Random } from './cases.ts';
import { eptWay, rightsOfEachPage } from './ept-cases.ts';
import { PDPTES } from './nested-bench.ts';
import { NestedComparison } from './nested.ts';

/** Two dimensions, real accesses of a guest in VMX non-root operation. `npm run test:walks` does more of them. */

const STRIDE = 19;
const RANDOM_CASES = 1000;

// prettier-ignore
const PROCESSORS = [
  ['modern-1', false], ['modern-1', true],
  // Neither execute-only pages nor pages of 1 GByte, nor accessed and dirty flags.
  ['paper-1', false],
] as const;

describe('accesses of a guest under EPT beside the plain reference', () => {
  for (const [profile, accessedDirty] of PROCESSORS) {
    test(`${profile}, ${accessedDirty ? 'with' : 'without'} accessed and dirty flags`, () => {
      const random = new Random(5);
      const comparison = new NestedComparison(random, profile);
      let number = 0;
      for (const one of rightsOfEachPage(random, accessedDirty)) if (number++ % STRIDE === 0) comparison.compare(one);
      for (let n = 0; n < RANDOM_CASES; n++) comparison.compare(comparison.any(accessedDirty));
      assert.deepEqual(comparison.differences.slice(0, 20), []);
      for (const outcome of ['ok', '#PF', 'violation', 'misconfiguration'])
        assert.ok((comparison.outcomes.get(outcome) ?? 0) > 30, `${outcome}: ${comparison.outcomes.get(outcome)}`);
      assert.ok(comparison.kept > 50, 'translations are kept');
    });
  }

  // See: SDM 29.3.5 Accessed and Dirty Flags for EPT: loads of the PDPTE registers are reads and set no dirty flag;
  // Table 28-7 Exit Qualification for EPT Violations: the linear address is not valid for them.
  test('MOV to CR3 with PAE paging reads four entries: no write, no linear address', () => {
    const random = new Random(6);
    const { bench } = new NestedComparison(random, 'modern-1');
    const [sound] = rightsOfEachPage(random, false);
    for (const accessedDirty of [false, true]) {
      for (let rights = 0; rights < 8; rights++) {
        const way = eptWay(12, random);
        const entries = [way.entries[0], way.entries[1], 0x30n | BigInt(rights)];
        const ways = { ...sound.ways, page: { ...way, entries } };
        bench.invalidate('INVEPT', 2, 0n);
        const paging = { ...sound.paging, kind: 'PAE' as const };
        const one = { ...sound, kind: 'PAE' as const, pageShift: 12, entries: [7n, 7n], paging, ways, accessedDirty };
        const address = PDPTES.toString(16);
        const violation = `violation ${address} ${(1 | (rights << 3)).toString(16)}`;
        const expected = rights === 2 || rights === 6 ? 'EPT_MISCONFIG' : rights & 1 ? 'CPUID' : violation;
        assert.equal(bench.loadPdptes(one), expected, `rights ${rights}`);
        const flags = expected === 'CPUID' && accessedDirty ? 0x100n : 0n;
        assert.equal(bench.read(bench.tables.ways[0][2]) & 0x300n, flags, `rights ${rights}`);
      }
    }
  });
});
