// SPDX-License-Identifier: Apache-2.0
// Rules of VM entry that were kept are not checked again, and are as soon as they could be broken.
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { ALL_GROUPS, GROUPS_EVERY_ENTRY } from '../../arch/vmx/entry-checks.ts';
import { ENTRY, EXIT, SECONDARY } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { VMCS_REVISION_ID } from '../../arch/vmx/profiles.ts';
import { CheckedVmcss } from './checked-vmcs.ts';
import { AT, VmxBench } from './vmx-bench.test.ts';

const bench = new VmxBench();
const OPERAND = '00 c0 00 00';
const VMXON = `f3 0f c7 34 25 ${OPERAND}`;
const VMXOFF = '0f 01 c4';
const VMCLEAR = `66 0f c7 34 25 ${OPERAND}`;
const VMPTRLD = `0f c7 34 25 ${OPERAND}`;
const VMLAUNCH = '0f 01 c2';
const VMRESUME = '0f 01 c3';
const CPUID_FOREVER = '0f a2 0f a2 0f a2 0f a2';
const OTHER = AT.free;

function withPointer(code: string, address: number): string {
  bench.poke64(AT.operand, address);
  bench.host(code);
  return bench.outcome;
}
/** What software must not do to an active region, and may to a clear one. */
function breakRegion(address: number): void {
  bench.poke64(address + OFFSET.CR3_TARGET_COUNT, 5);
}

describe('entry checks are left out', () => {
  beforeEach(() => {
    bench.reset().poke64(OTHER, VMCS_REVISION_ID);
    assert.equal(bench.launch(CPUID_FOREVER), 'CPUID');
  });

  it('for a VMCS that was current before, if it was not cleared', () => {
    const { state } = bench.unit;
    const before = state.dirtyGroups;
    assert.notEqual(before, ALL_GROUPS);
    withPointer(VMPTRLD, OTHER);
    assert.equal(state.dirtyGroups, ALL_GROUPS);
    withPointer(VMPTRLD, AT.vmcs);
    assert.equal(state.dirtyGroups, before);
    breakRegion(AT.vmcs);
    assert.equal(bench.resume(), 'CPUID', 'nobody looks');
  });
  it('but what was written before it stopped being current is checked', () => {
    bench.cpu.setReg64(1, 0x400an);
    bench.cpu.setReg64(0, 5n);
    bench.host('48 0f 79 c8');
    withPointer(VMPTRLD, OTHER);
    withPointer(VMPTRLD, AT.vmcs);
    bench.host(VMRESUME);
    assert.equal(bench.outcome, 'VMfailValid 7');
  });
  it('but not after VMCLEAR, of the current VMCS or of another', () => {
    withPointer(VMCLEAR, AT.vmcs);
    breakRegion(AT.vmcs);
    withPointer(VMPTRLD, AT.vmcs);
    bench.host(VMLAUNCH);
    assert.equal(bench.outcome, 'VMfailValid 7');
    bench.poke64(AT.vmcs + OFFSET.CR3_TARGET_COUNT, 0);
    assert.equal(bench.launch(CPUID_FOREVER), 'CPUID');
    withPointer(VMPTRLD, OTHER);
    withPointer(VMCLEAR, AT.vmcs);
    breakRegion(AT.vmcs);
    withPointer(VMPTRLD, AT.vmcs);
    bench.host(VMLAUNCH);
    assert.equal(bench.outcome, 'VMfailValid 7');
  });
  it('but not after VMXOFF and VMXON', () => {
    withPointer(VMPTRLD, OTHER);
    bench.host(VMXOFF);
    breakRegion(AT.vmcs);
    assert.equal(withPointer(VMXON, AT.vmxon), 'VMsucceed');
    withPointer(VMPTRLD, AT.vmcs);
    bench.host(VMRESUME);
    assert.equal(bench.outcome, 'VMfailValid 7');
  });
  it('but not after VMWRITE to it as a shadow VMCS', () => {
    const { unit } = bench;
    withPointer(VMPTRLD, OTHER);
    withPointer(VMPTRLD, AT.vmcs);
    unit.checked.keep(OTHER, GROUPS_EVERY_ENTRY);
    bench
      .secondary(SECONDARY.VMCS_SHADOWING)
      .set('VMCS_LINK_POINTER', OTHER)
      .poke64(OTHER, (VMCS_REVISION_ID | 0x80000000) >>> 0);
    bench.cpu.setReg64(1, 0x400an);
    bench.cpu.setReg64(0, 5n);
    bench.poke(AT.guestCode + 2, [0x48, 0x0f, 0x79, 0xc8, 0x0f, 0xa2]);
    bench.set('GUEST_RIP', AT.guestCode + 2);
    assert.equal(bench.resume(), 'CPUID');
    assert.equal(bench.peek64(OTHER + OFFSET.CR3_TARGET_COUNT), 5n);
    assert.equal(unit.checked.take(OTHER), ALL_GROUPS);
  });
});

describe('what a VM exit saves', () => {
  it('is checked at the next entry: a guest can leave what its controls do not permit', () => {
    bench.reset();
    for (const [table, next] of [
      [0, 1],
      [1, 2],
    ])
      bench.poke64(AT.ept + table * 0x1000, (AT.ept + next * 0x1000) | 7);
    bench.poke64(AT.ept + 0x2000, 0xb7);
    bench.poke64(AT.ept + 0x2008, 0x2000b7);
    bench.secondary(SECONDARY.ENABLE_EPT | SECONDARY.UNRESTRICTED_GUEST);
    bench.set('VM_EXIT_CONTROLS', bench.get('VM_EXIT_CONTROLS') & ~EXIT.SAVE_IA32_EFER);
    bench.or('VM_ENTRY_CONTROLS', ENTRY.LOAD_IA32_EFER).set('GUEST_IA32_EFER', 0x500);
    // To the 32-bit segment 18H, paging off, CPUID: LMA is 0 then, and the field of IA32_EFER still has it.
    const toCompatibility = '6a 18 68 09 00 04 00 48 cb';
    const pagingOff = '0f 20 c0 25 ff ff ff 7f 0f 22 c0 0f a2';
    assert.equal(bench.launch(`${toCompatibility} ${pagingOff}`), 'CPUID');
    assert.equal(bench.resume(), 'failed: INVALID_STATE');
    assert.equal(bench.unit.lastEntryFailure?.id, 'guest.efer.lma');
  });
});

describe('the VMCSs that a processor remembers', () => {
  it('are a few; of the others it knows nothing', () => {
    const checked = new CheckedVmcss();
    for (let page = 1; page <= 9; page++) checked.keep(page * 0x1000, page);
    assert.equal(checked.take(0x1000), ALL_GROUPS);
    for (let page = 2; page <= 9; page++) assert.equal(checked.take(page * 0x1000), page);
    assert.equal(checked.take(0x2000), ALL_GROUPS, 'the processor has them once taken');
    checked.keep(0x2000, 2);
    checked.keep(0x3000, 3);
    checked.forget(0x2000);
    assert.deepEqual([checked.take(0x2000), checked.take(0x3000)], [ALL_GROUPS, 3]);
    checked.keep(0x3000, 3);
    checked.forgetAll();
    assert.equal(checked.take(0x3000), ALL_GROUPS);
  });
});
