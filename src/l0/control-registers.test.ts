// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UserError } from '../base/errors.ts';
import { compose } from '../arch/vmx/bit-field.ts';
import { CR_ACCESS, CR_ACCESS_TYPE } from '../arch/vmx/qualifications.ts';
import { PROFILE_NAMES } from '../arch/vmx/profiles.ts';
import { controlRegisters } from './control-registers.ts';
import { CODE, Fixture, LONG_ENTRY, PAGE_TABLES, PROTECTED_ENTRY, brokenRules } from './l0-fixture.testing.ts';

const RBX = 3;
const GP = { vector: 13, type: 3, errorCode: 0 };
const PG = 0x80000000n;

function access(
  fixture: Fixture,
  number: number,
  value: bigint | undefined,
  type: number = CR_ACCESS_TYPE.movTo,
): void {
  if (value !== undefined) fixture.processor.general[RBX] = value;
  fixture.exit('CR_ACCESS', {
    EXIT_QUALIFICATION: compose(CR_ACCESS, { NUMBER: number, ACCESS_TYPE: type, REGISTER: RBX }),
    VM_EXIT_INSTRUCTION_LEN: 3,
  });
}
function wrmsr(fixture: Fixture, index: number, value: bigint): void {
  fixture.processor.general[1] = BigInt(index);
  fixture.processor.general[0] = value & 0xffffffffn;
  fixture.processor.general[2] = value >> 32n;
  fixture.exit('MSR_WRITE', { VM_EXIT_INSTRUCTION_LEN: 2 });
}

describe('control registers of L1', () => {
  for (const profile of PROFILE_NAMES) {
    it(`on ${profile}: what L1 reads is what it wrote, not what the hardware needs`, () => {
      const fixture = new Fixture(profile);
      assert.deepEqual(controlRegisters(fixture.vcpu), {
        cr0: 0x80000011,
        cr3Low: PAGE_TABLES,
        cr3High: 0,
        cr4: 0x20,
        efer: 0x500,
      });
      assert.equal(fixture.processor.get('GUEST_CR0') & 0x20n, 0x20n, 'NE is fixed to 1');
      assert.equal(fixture.processor.get('GUEST_CR4') & 0x2000n, 0x2000n, 'VMXE is fixed to 1');
      access(fixture, 0, 0xc0050033n);
      assert.equal(fixture.vcpu.cr0, 0xc0050033, 'the caches are off for L1');
      access(fixture, 4, 0x6a0n);
      assert.equal(fixture.vcpu.cr4, 0x6a0);
      assert.deepEqual([fixture.vcpu.rip, fixture.processor.ticks], [CODE + 6, 2]);
      assert.deepEqual(brokenRules(fixture), []);
      assert.ok(fixture.processor.invalidations.includes('INVVPID 1 1'), 'PGE and WP changed');
    });

    it(`on ${profile}: refuses what a processor refuses, and counts the fault`, () => {
      const fixture = new Fixture(profile);
      for (const [number, value] of [
        [0, 0x1_80000031n],
        [0, 0x80000030n],
        [0, 0xa0000031n],
        [0, 0x31n],
        [4, 0x2020n],
        [4, 0n],
        [8, 0x10n],
      ] as const) {
        access(fixture, number, value);
        assert.deepEqual(fixture.injected, GP, `CR${number} = ${value.toString(16)}`);
      }
      assert.deepEqual([fixture.vcpu.rip, fixture.processor.ticks], [CODE, 7]);
      assert.deepEqual(controlRegisters(fixture.vcpu).cr0, 0x80000011);
    });

    it(`on ${profile}: from protected mode to IA-32e mode as a boot loader goes, and back`, () => {
      const fixture = new Fixture(profile, { entry: PROTECTED_ENTRY });
      const { vcpu, processor } = fixture;
      assert.equal(vcpu.paging, false);
      if (profile === 'paper-1') {
        assert.equal(processor.get('GUEST_CR0') & PG, PG);
        access(fixture, 3, BigInt(PAGE_TABLES));
        assert.notEqual(Number(processor.get('GUEST_CR3')), PAGE_TABLES, 'the identity map stays');
        access(fixture, 3, undefined, CR_ACCESS_TYPE.movFrom);
        assert.equal(processor.general[RBX], BigInt(PAGE_TABLES), 'L1 reads its own');
        access(fixture, 4, 0x20n);
        assert.equal(processor.get('GUEST_CR4') & 0x20n, 0n, 'the identity map is 32-bit paging');
      } else {
        processor.set('GUEST_CR3', PAGE_TABLES);
        processor.set('GUEST_CR4', 0x2020);
      }
      wrmsr(fixture, 0xc0000080, 0x100n);
      assert.equal(vcpu.efer, 0x100);
      assert.deepEqual(brokenRules(fixture), []);
      access(fixture, 0, 0x80000031n);
      assert.deepEqual(controlRegisters(vcpu), {
        cr0: 0x80000031,
        cr3Low: PAGE_TABLES,
        cr3High: 0,
        cr4: 0x20,
        efer: 0x500,
      });
      assert.equal(Number(processor.get('GUEST_CR3')), PAGE_TABLES);
      assert.equal(processor.get('VM_ENTRY_CONTROLS') & 0x200n, 0x200n, 'IA-32e mode guest');
      assert.deepEqual(brokenRules(fixture), []);
      wrmsr(fixture, 0xc0000080, 0n);
      assert.deepEqual(fixture.injected, GP, 'LME cannot change under paging');
      access(fixture, 0, 0x31n);
      assert.deepEqual([vcpu.paging, vcpu.longMode, vcpu.efer], [false, false, 0x100]);
      assert.equal(processor.get('VM_ENTRY_CONTROLS') & 0x200n, 0n);
    });
  }

  it('loads the page-directory pointers of PAE paging, and checks them', () => {
    const fixture = new Fixture('modern-1', { entry: PROTECTED_ENTRY });
    fixture.processor.set('GUEST_CR3', 0x3000);
    access(fixture, 4, 0x20n);
    fixture.put(0x3000, [0x01, 0x50, 0, 0, 0, 0, 0, 0, 0x67, 0x60, 0, 0, 0, 0, 0, 0]);
    access(fixture, 0, 0x80000031n);
    assert.deepEqual(fixture.injected, GP, 'reserved bits of a present entry');
    fixture.put(0x3008, [0x01, 0x60]);
    access(fixture, 0, 0x80000031n);
    assert.equal(fixture.injected, undefined);
    assert.deepEqual(
      [fixture.processor.get('GUEST_PDPTR0'), fixture.processor.get('GUEST_PDPTR1')],
      [0x5001n, 0x6001n],
    );
    assert.deepEqual(brokenRules(fixture), []);
  });

  it('CR8 is the task priority of the virtual local APIC', () => {
    const fixture = new Fixture();
    access(fixture, 8, 5n);
    assert.equal(fixture.vcpu.localApic.taskPriority, 0x50);
    access(fixture, 8, undefined, CR_ACCESS_TYPE.movFrom);
    assert.equal(fixture.processor.general[RBX], 5n);
  });

  it('CLTS clears TS; LMSW sets PE, never clears it', () => {
    const fixture = new Fixture('modern-1', { entry: PROTECTED_ENTRY });
    access(fixture, 0, 0x39n);
    access(fixture, 0, undefined, CR_ACCESS_TYPE.clts);
    assert.equal(fixture.vcpu.cr0, 0x31);
    fixture.exit('CR_ACCESS', {
      EXIT_QUALIFICATION: compose(CR_ACCESS, { ACCESS_TYPE: CR_ACCESS_TYPE.lmsw, LMSW_SOURCE: 0xfff8 }),
      VM_EXIT_INSTRUCTION_LEN: 3,
    });
    assert.equal(fixture.vcpu.cr0, 0x39);
  });

  it('real-address mode without "unrestricted guest" is a message to the user that names the way out', () => {
    const fixture = new Fixture('paper-1', { entry: PROTECTED_ENTRY });
    assert.throws(
      () => access(fixture, 0, 0x10n),
      (error) =>
        error instanceof UserError && /real-address mode/.test(error.message) && /profile modern/.test(error.hint),
    );
    const modern = new Fixture('modern-1', { entry: { ...LONG_ENTRY, ...PROTECTED_ENTRY } });
    access(modern, 0, 0x10n);
    assert.equal(modern.vcpu.cr0, 0x10);
    assert.deepEqual(brokenRules(modern), []);
  });
});
