// SPDX-License-Identifier: Apache-2.0
// INS and OUTS of L2 that L0 completes, with their operand in the APIC-access page of vmcs12.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compose } from '../../arch/vmx/bit-field.ts';
import { PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import type { ExampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { encodeInsOuts } from '../../arch/vmx/instruction-information.ts';
import { IO_INSTRUCTION } from '../../arch/vmx/qualifications.ts';
import { NestedFixture } from './nested-fixture.testing.ts';

const ACCESS_PAGE = 0x205000;
const VIRTUAL_APIC = 0x206000;
const TPR = 0x80;
const PAGE_TABLES = 0x10000;
const [RSI, RDI, DS] = [6, 7, 3];
const OUTS = { input: false, type: 0 } as const;
const INS = { input: true, type: 1 } as const;

function launched(change: (vmcs: ExampleVmcs) => void = () => {}): NestedFixture {
  return new NestedFixture().launch((vmcs) => {
    vmcs.or('CPU_BASED_VM_EXEC_CONTROL', PRIMARY.ACTIVATE_SECONDARY_CONTROLS);
    vmcs.or('SECONDARY_VM_EXEC_CONTROL', SECONDARY.VIRTUALIZE_APIC_ACCESSES);
    vmcs.set('APIC_ACCESS_ADDR', ACCESS_PAGE);
    vmcs.set('GUEST_CR3', PAGE_TABLES);
    change(vmcs);
  });
}
const withShadow = (vmcs: ExampleVmcs): void => {
  vmcs.or('CPU_BASED_VM_EXEC_CONTROL', PRIMARY.USE_TPR_SHADOW);
  vmcs.set('VIRTUAL_APIC_PAGE_ADDR', VIRTUAL_APIC);
};

/** One byte or more between the device's port and L2's memory at `address`; who goes on. */
function transfer(f: NestedFixture, input: boolean, address: number, width = 1): 'L1' | 'L2' {
  f.processor.general[input ? RDI : RSI] = BigInt(address);
  return f.exit('IO_INSTRUCTION', {
    EXIT_QUALIFICATION: compose(IO_INSTRUCTION, {
      ...{ PORT: 0xe00, SIZE_MINUS_1: width - 1, DIRECTION: input ? 1 : 0, STRING: 1 },
    }),
    VMX_INSTRUCTION_INFO: encodeInsOuts(64, DS),
    GUEST_LINEAR_ADDRESS: address,
    VM_EXIT_INSTRUCTION_LEN: 1,
  });
}

describe('an instruction of L2 that L0 emulates, with an operand in the APIC-access page of vmcs12', () => {
  for (const { input, type } of [OUTS, INS])
    it(`is an exit to L1 before the port is reached: access type ${type}`, () => {
      const f = launched();
      const rip = f.processor.get('GUEST_RIP');
      assert.equal(transfer(f, input, ACCESS_PAGE + 0x310), 'L1');
      assert.equal(f.get12('VM_EXIT_REASON'), 44n);
      assert.equal(f.get12('EXIT_QUALIFICATION'), BigInt((type << 12) | 0x310));
      assert.equal(f.get12('VM_EXIT_INSTRUCTION_LEN'), 1n);
      assert.equal(f.get12('GUEST_RIP'), rip);
      assert.equal(f.get12('GUEST_RFLAGS') & 0x10000n, 0x10000n);
      assert.deepEqual(f.fixture.device.log, []);
    });
  it('is one with type 15 when a page table of L2 lies there', () => {
    const f = launched((vmcs) => vmcs.set('APIC_ACCESS_ADDR', PAGE_TABLES + 0x1000));
    assert.equal(transfer(f, false, 0x300000), 'L1');
    assert.equal(f.get12('EXIT_QUALIFICATION'), 0xf000n);
  });
  it('reads VTPR with the TPR shadow, and exits for all other registers', () => {
    const f = launched(withShadow);
    f.put32(VIRTUAL_APIC + TPR, 0x123456b0);
    assert.equal(transfer(f, false, ACCESS_PAGE + TPR, 4), 'L2');
    assert.deepEqual(f.fixture.device.log, ['write 0 4 123456b0']);
    assert.equal(transfer(f, false, ACCESS_PAGE + TPR + 4, 4), 'L1');
  });
  it('writes VTPR, of which only bits 7:0 remain', () => {
    const f = launched(withShadow);
    f.fixture.device.bytes.set([0x40, 0x41, 0x42, 0x43]);
    f.put32(VIRTUAL_APIC + TPR, 0xffffffff);
    assert.equal(transfer(f, true, ACCESS_PAGE + TPR, 4), 'L2');
    assert.equal(f.get32(VIRTUAL_APIC + TPR), 0x40);
    assert.equal(f.get32(ACCESS_PAGE + TPR), 0);
  });
  it('is nothing special elsewhere, or without the control', () => {
    assert.equal(transfer(launched(), false, ACCESS_PAGE + 0x1000), 'L2');
    const off = launched((vmcs) => vmcs.clear('SECONDARY_VM_EXEC_CONTROL', SECONDARY.VIRTUALIZE_APIC_ACCESSES));
    assert.equal(transfer(off, false, ACCESS_PAGE), 'L2');
  });
});
