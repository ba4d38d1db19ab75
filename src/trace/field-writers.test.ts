// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OFFSET } from '../arch/vmx/fields.ts';
import { FieldWriters, RegionWriters } from './field-writers.ts';

const { GUEST_RFLAGS, GUEST_RIP } = OFFSET;

describe('who wrote a field', () => {
  it('the last VMWRITE, as long as the value is its', () => {
    const region = new RegionWriters();
    assert.deepEqual(region.writer(GUEST_RFLAGS, 0, 0), { kind: 'never', vmclear: undefined });
    region.wrote(GUEST_RFLAGS, -1234, 10, 2, 0);
    region.wrote(GUEST_RFLAGS, -5678, 20, 0x202, 0);
    const writer = { kind: 'vmwrite', rip: -5678, instructions: 20, beforeVmclear: false };
    assert.deepEqual(region.writer(GUEST_RFLAGS, 0x202, 0), writer);
    assert.deepEqual(region.writer(GUEST_RFLAGS, 0x203, 0), { kind: 'memory' });
    assert.deepEqual(region.writer(GUEST_RFLAGS, 0x202, 1), { kind: 'memory' });
    assert.equal(region.writer(GUEST_RIP, 0, 0).kind, 'never');
  });
  it('an exit that saves another value; VMCLEAR in between is said', () => {
    const region = new RegionWriters();
    region.wrote(GUEST_RFLAGS, 1, 10, 2, 0);
    region.saved(GUEST_RFLAGS, 20, 0x46, 0);
    region.cleared(30);
    assert.deepEqual(region.writer(GUEST_RFLAGS, 0x46, 0), { kind: 'exit', instructions: 20, beforeVmclear: true });
    assert.deepEqual(region.writer(GUEST_RIP, 0, 0), { kind: 'never', vmclear: 30 });
    region.forget();
    assert.deepEqual(region.writer(GUEST_RFLAGS, 0x46, 0), { kind: 'never', vmclear: undefined });
  });
  it('of two copies the later', () => {
    const [own, shadow] = [new RegionWriters(), new RegionWriters()];
    own.wrote(GUEST_RFLAGS, 1, 10, 2, 0);
    own.wrote(GUEST_RIP, 2, 30, 5, 0);
    shadow.wrote(GUEST_RFLAGS, 3, 20, 6, 0);
    shadow.wrote(GUEST_RIP, 4, 25, 5, 0);
    own.join(shadow);
    assert.deepEqual(own.writer(GUEST_RFLAGS, 6, 0), {
      kind: 'vmwrite',
      rip: 3,
      instructions: 20,
      beforeVmclear: false,
    });
    assert.deepEqual(own.writer(GUEST_RIP, 5, 0), { kind: 'vmwrite', rip: 2, instructions: 30, beforeVmclear: false });
  });
  it('regions of L1 and of the machine are apart, and few are remembered', () => {
    const writers = new FieldWriters();
    const first = writers.region('L1', 0x1000);
    first.wrote(GUEST_RIP, 1, 1, 1, 0);
    assert.notEqual(writers.region('machine', 0x1000), first);
    assert.equal(writers.region('L1', 0x1000), first);
    for (let i = 2; i < 100; i++) writers.region('L1', 0x1000 * i);
    assert.notEqual(writers.region('L1', 0x1000), first);
  });
});
