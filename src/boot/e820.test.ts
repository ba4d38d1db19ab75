// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { memoryMap, ONE_MIB, packRegions, REGION } from './e820.ts';
import { pcLayout } from './layout.ts';

const ofSize = (mebibytes: number) => memoryMap(pcLayout({ memoryBytes: mebibytes * ONE_MIB }));

test('the map is sorted, has no overlap and all of the RAM but the legacy holes', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 16384 }), (mebibytes) => {
      const map = ofSize(mebibytes);
      map.slice(1).forEach((region, index) => assert.ok(map[index]!.base + map[index]!.size <= region.base));
      const memory = map
        .filter((region) => region.type === REGION.memory)
        .reduce((sum, region) => sum + region.size, 0);
      assert.equal(memory, mebibytes * ONE_MIB - (ONE_MIB - 0x9fc00));
    }),
  );
});

test('RAM that the PCI hole displaces continues at 4 GiB', () => {
  assert.equal(ofSize(2816).at(-1)!.base, 0xfee00000, 'nothing is displaced');
  assert.deepEqual(ofSize(4096).at(-1), { base: 2 ** 32, size: 1280 * ONE_MIB, type: REGION.memory });
});

test('the ECAM is reserved, wherever it is', () => {
  const map = memoryMap(pcLayout({ ecam: { base: 0xe0000000, buses: 64 } }));
  assert.ok(
    map.some(({ base, size, type }) => base === 0xe0000000 && size === 64 * ONE_MIB && type === REGION.reserved),
  );
});

test('entries are packed in 20 or 24 bytes', () => {
  const map = [{ base: 0x1_0000_0000, size: 0x1000, type: REGION.nvs }];
  assert.deepEqual([...packRegions(map)], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
  assert.equal(packRegions(map, 4).length, 24);
});
