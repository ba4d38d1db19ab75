// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ENCODING, FIELDS } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { NestedFixture, REGION } from './nested-fixture.testing.ts';
import { SHADOWED_FIELDS } from './shadow-vmcs.ts';

describe('VMCS shadowing for L1', () => {
  it('is on exactly while a VMCS is current, and ends with VMCLEAR (CVE-2026-64562)', () => {
    const f = new NestedFixture();
    const on = (): boolean => (f.processor.get('SECONDARY_VM_EXEC_CONTROL') & (1n << 14n)) !== 0n;
    f.withPointer('VMON', 0x300000);
    assert.equal(on(), false);
    f.withPointer('VMPTRLD', REGION);
    assert.equal(on(), true);
    assert.notEqual(f.processor.get('VMCS_LINK_POINTER'), 0xffffffffffffffffn);
    f.withPointer('VMCLEAR', REGION);
    assert.equal(on(), false);
    assert.equal(f.processor.get('VMCS_LINK_POINTER'), 0xffffffffffffffffn);
  });
  it('what L1 reads without an exit is what the exit left, and what it writes so is used at its entry', () => {
    const f = new NestedFixture().launch();
    f.exit('CPUID', { GUEST_RIP: 0x1234, VM_EXIT_INSTRUCTION_LEN: 2 });
    const region = Number(f.processor.get('VMCS_LINK_POINTER'));
    const { memory } = f.fixture.machine;
    const offset = (name: FieldName): number => FIELDS.find((field) => field.name === name)?.offset ?? -1;
    assert.equal(memory.read32(region + offset('GUEST_RIP')), 0x1234);
    assert.equal(memory.read32(region + offset('VM_EXIT_REASON')), 10);
    memory.write32(region + offset('GUEST_RIP'), 0x1236);
    assert.equal(f.execute('VMRESUME'), 'L2');
    assert.equal(f.processor.get('GUEST_RIP'), 0x1236n);
  });
  it('a VMWRITE that exits is seen by VMREADs that do not', () => {
    const f = new NestedFixture().start();
    f.vmwrite(ENCODING.EXIT_QUALIFICATION, 0x42);
    const region = Number(f.processor.get('VMCS_LINK_POINTER'));
    assert.equal(
      f.fixture.machine.memory.read32(region + (FIELDS.find(({ name }) => name === 'EXIT_QUALIFICATION')?.offset ?? 0)),
      0x42,
    );
  });
  it('the paper profile does without', () => {
    assert.equal(new NestedFixture('paper-1').start().processor.get('VMCS_LINK_POINTER'), 0xffffffffffffffffn);
  });
});

describe('hardware exits for one CPUID of L2', () => {
  it("paper: k + 2, k being the VMCS accesses of L1 (n = 11 for the paper's KVM)", () => {
    const f = new NestedFixture('paper-1').launch();
    let exits = 0;
    const { l0 } = f.fixture;
    const exit = l0.exit.bind(l0);
    l0.exit = (processor) => (exits++, exit(processor));
    f.exit('CPUID', { VM_EXIT_INSTRUCTION_LEN: 2 });
    for (const name of [
      'VM_EXIT_REASON',
      'VM_EXIT_INTR_INFO',
      'IDT_VECTORING_INFO_FIELD',
      'EXIT_QUALIFICATION',
      'VM_EXIT_INSTRUCTION_LEN',
      'GUEST_RIP',
      'GUEST_INTERRUPTIBILITY_INFO',
    ] as const)
      f.vmread(ENCODING[name]);
    for (const name of [
      'GUEST_RIP',
      'GUEST_INTERRUPTIBILITY_INFO',
      'VM_ENTRY_INTR_INFO_FIELD',
      'GUEST_RFLAGS',
    ] as const)
      f.vmwrite(ENCODING[name], f.get12(name));
    assert.equal(f.execute('VMRESUME'), 'L2');
    assert.equal(exits, 13);
  });
  it('modern: 2, since all of these fields are shadowed', () => {
    const access = new Map(SHADOWED_FIELDS);
    for (const name of [
      'VM_EXIT_REASON',
      'VM_EXIT_INTR_INFO',
      'IDT_VECTORING_INFO_FIELD',
      'EXIT_QUALIFICATION',
      'VM_EXIT_INSTRUCTION_LEN',
    ] as const)
      assert.ok(access.get(name), name);
    for (const name of [
      'GUEST_RIP',
      'GUEST_INTERRUPTIBILITY_INFO',
      'VM_ENTRY_INTR_INFO_FIELD',
      'GUEST_RFLAGS',
    ] as const)
      assert.equal(access.get(name), 'read and write', name);
  });
});
