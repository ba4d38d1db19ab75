// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PROFILES } from '../../arch/vmx/profiles.ts';
import { FakeMemory, FakeProcessor } from '../fake-machine.testing.ts';
import { VpidMap } from './vpid.ts';

const FIRST = 0x100;
const TAG01 = 1;
const NOWHERE = { low: 0, high: 0 };

function make(): { map: VpidMap; done: () => string[] } {
  const processor = new FakeProcessor(0, PROFILES['modern-1'], new FakeMemory(0x1000));
  const map = new VpidMap(processor, FIRST, TAG01);
  return { map, done: () => processor.invalidations.splice(0) };
}

describe("VPID12 and the hardware's tags", () => {
  it("each VPID12 has its own tag, which is not L1's even if the numbers are equal", () => {
    const { map } = make();
    const tags = [map.enter(1), map.enter(2), map.enter(1)];
    assert.equal(tags[0], tags[2]);
    assert.notEqual(tags[0], tags[1]);
    assert.ok(tags.every((tag) => tag > FIRST));
  });
  it('a fresh tag is flushed, one that is in use is not (CVE-2026-89932)', () => {
    const { map, done } = make();
    const tag = map.enter(9);
    assert.deepEqual(done(), [`INVVPID 1 ${tag}`]);
    map.enter(9);
    map.leave(9);
    assert.deepEqual(done(), []);
  });
  it('without VPID both ways flush VPID 0000H, as L1 and L2 share it', () => {
    const { map, done } = make();
    assert.equal(map.enter(0), FIRST);
    assert.deepEqual(done(), [`INVVPID 1 ${FIRST}`, `INVVPID 1 ${TAG01}`]);
    map.leave(0);
    assert.deepEqual(done(), [`INVVPID 1 ${FIRST}`, `INVVPID 1 ${TAG01}`]);
  });
  it('INVVPID of every type goes to the tag of that VPID12, and to none if it has none', () => {
    const { map, done } = make();
    const [a, b] = [map.enter(5), map.enter(6)];
    done();
    for (const type of [0, 1, 3] as const) {
      map.invalidate(type, 5, NOWHERE);
      assert.deepEqual(done(), [`INVVPID ${type} ${a}`]);
    }
    map.invalidate(1, 77, NOWHERE);
    map.invalidate(1, TAG01, NOWHERE);
    assert.deepEqual(done(), []);
    map.invalidate(2, 0, NOWHERE);
    assert.deepEqual(done(), [`INVVPID 1 ${a}`, `INVVPID 1 ${b}`]);
  });
  it('with more VPIDs than tags the one entered longest ago makes way, and its tag is flushed', () => {
    const { map, done } = make();
    const tags = Array.from({ length: 31 }, (_, i) => map.enter(i + 1));
    assert.equal(new Set(tags).size, 31);
    map.enter(1);
    done();
    assert.equal(map.enter(1000), tags[1]);
    assert.deepEqual(done(), [`INVVPID 1 ${tags[1]}`]);
    assert.equal(map.enter(1), tags[0]);
    const saved = map.save();
    map.enter(2);
    map.restore(saved);
    assert.equal(map.enter(1000), tags[1]);
  });
});
