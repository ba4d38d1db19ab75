// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PROFILE_NAMES } from '../arch/vmx/profiles.ts';
import { ENTRY, PRIMARY, SECONDARY } from '../arch/vmx/controls.ts';
import { OFFSET } from '../arch/vmx/fields.ts';
import { Fixture, LONG_ENTRY, PROTECTED_ENTRY, brokenRules } from './l0-fixture.testing.ts';
import { OPEN_MSRS, msrBitmapPlace } from './msr-bitmap.ts';

for (const profile of PROFILE_NAMES) {
  describe(`vmcs01 on ${profile}`, () => {
    for (const [name, entry] of [
      ['64-bit mode', LONG_ENTRY],
      ['protected mode without paging', PROTECTED_ENTRY],
    ] as const) {
      it(`passes every rule of VM entry at an entry in ${name}`, () => {
        const fixture = new Fixture(profile, { entry });
        assert.equal(fixture.l0.kicked(fixture.processor), 'enter');
        assert.deepEqual(brokenRules(fixture), []);
      });
    }

    it('lies in memory that is not of L1, and its EPT pointer, bitmaps and VPID are set', () => {
      const { processor, vcpu, l0 } = new Fixture(profile);
      assert.ok(
        vcpu.vmcs01 < l0.allocator.end &&
          l0.allocator.end <= Math.min(...l0.l1.memory.chunks.filter((chunk) => chunk >= 0)),
      );
      assert.equal(processor.currentVmcs, vcpu.vmcs01);
      assert.equal(Number(processor.get('EPT_POINTER')), l0.l1.ept01.pointer.low);
      assert.equal(processor.get('VIRTUAL_PROCESSOR_ID'), 1n);
      assert.equal(Number(processor.get('MSR_BITMAP')), vcpu.pages.msrBitmap);
    });

    it('lets exactly the listed MSRs pass', () => {
      const { machine, vcpu, l0 } = new Fixture(profile);
      const bitmap = machine.memory.array.subarray(vcpu.pages.msrBitmap, vcpu.pages.msrBitmap + 4096);
      const open: number[] = [];
      for (const base of [0, 0xc0000000]) {
        for (let index = base; index < base + 0x2000; index++) {
          const { byte, bit } = msrBitmapPlace(index)!;
          const [read, write] = [byte, 2048 + byte].map((at) => (bitmap[at] & (1 << bit)) === 0);
          assert.equal(read, write, index.toString(16));
          if (read) open.push(index);
        }
      }
      assert.deepEqual(
        open,
        OPEN_MSRS.filter(([, feature]) => feature === undefined || l0.l1.has(feature)).map(([index]) => index),
      );
      assert.equal(l0.l1.has('RDTSCP'), profile === 'modern-1');
      assert.equal(msrBitmapPlace(0x40000000), undefined);
    });
  });
}

describe('vmcs01', () => {
  it('runs L1 unrestricted and with EFER in a field where it can', () => {
    const { processor } = new Fixture('modern-1');
    assert.ok(processor.readLow(OFFSET.SECONDARY_VM_EXEC_CONTROL) & SECONDARY.UNRESTRICTED_GUEST);
    assert.equal(processor.get('GUEST_IA32_EFER'), 0x500n);
    assert.equal(processor.get('VM_ENTRY_MSR_LOAD_COUNT'), 0n);
  });

  it('loads EFER from a list where it cannot', () => {
    const { processor, machine, vcpu } = new Fixture('paper-1');
    assert.equal(processor.readLow(OFFSET.VM_ENTRY_CONTROLS) & ENTRY.LOAD_IA32_EFER, 0);
    assert.equal(processor.get('VM_ENTRY_MSR_LOAD_COUNT'), 1n);
    const list = Number(processor.get('VM_ENTRY_MSR_LOAD_ADDR'));
    assert.deepEqual(
      [0, 4, 8, 12].map((at) => machine.memory.read32(list + at)),
      [0xc0000080, 0, 0x500, 0],
    );
    assert.equal(vcpu.efer, 0x500);
  });

  it('has CR3 exit only while the identity map stands in', () => {
    const exits = (fixture: Fixture): number =>
      fixture.processor.readLow(OFFSET.CPU_BASED_VM_EXEC_CONTROL) & PRIMARY.CR3_LOAD_EXITING;
    assert.deepEqual(
      [exits(new Fixture('modern-1', { entry: PROTECTED_ENTRY })), exits(new Fixture('paper-1'))],
      [0, 0],
    );
    assert.notEqual(exits(new Fixture('paper-1', { entry: PROTECTED_ENTRY })), 0);
  });
});
