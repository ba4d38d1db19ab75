// SPDX-License-Identifier: Apache-2.0
// The VMX instructions in root operation and outside VMX operation: who may, what is checked in which order.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { ENCODING, FIELDS, OFFSET } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { PROFILES, VMCS_REVISION_ID } from '../../arch/vmx/profiles.ts';
import { fieldExists } from '../../arch/vmx/capabilities.ts';
import { RAX, RBX, RCX, STATE } from '../cpu/state.ts';
import { AT, FEATURE_CONTROL, VmxBench } from './vmx-bench.test.ts';

const bench = new VmxBench();
const paper = new VmxBench('paper-1');

const OPERAND = '00 c0 00 00';
const VMXON = `f3 0f c7 34 25 ${OPERAND}`;
const VMCLEAR = `66 0f c7 34 25 ${OPERAND}`;
const VMPTRLD = `0f c7 34 25 ${OPERAND}`;
const VMPTRST = `0f c7 3c 25 ${OPERAND}`;
const VMREAD_RAX_RCX = '48 0f 78 c8';
const VMWRITE_RCX_RAX = '48 0f 79 c8';
const NO_POINTER = 0xffffffffffffffffn;

/** The pointer operand at C000H. */
function operand(low: number, high = 0, b = bench): VmxBench {
  b.poke64(AT.operand, low, high);
  return b;
}
/** Vector of the exception that the host's instruction raised: its handler halts. */
function faultOf(b: VmxBench, code: string): number {
  let vector = -1;
  b.poke64(0x23000, 0);
  for (let i = 0; i < 32; i++) {
    const handler = AT.free + 16 * i;
    b.poke64(AT.hostIdt + 16 * i, (0x80000 | (handler & 0xffff)) >>> 0, (handler & 0xffff0000) | 0x8e00);
    b.poke(handler, [0xf4]);
  }
  b.host(code);
  const at = b.cpu.rip - 1 - AT.free;
  if (at >= 0 && at < 512) vector = at >> 4;
  return vector;
}
const outside = (): VmxBench => {
  bench.reset();
  bench.unit.state.vmxOperation = false;
  bench.unit.state.currentVmcs = -1;
  return bench;
};

describe('VMXON and VMXOFF', () => {
  it('enters and leaves VMX operation', () => {
    operand(AT.vmxon, 0, outside()).host(VMXON);
    assert.equal(bench.outcome, 'VMsucceed');
    assert.equal(bench.unit.state.vmxOperation, true);
    assert.equal(bench.unit.state.currentVmcs, -1);
    bench.host('0f 01 c4');
    assert.equal(bench.unit.state.vmxOperation, false);
  });
  it('is #UD without CR4.VMXE, and in compatibility mode', () => {
    outside();
    bench.cpu.set32(STATE.cr4, bench.cpu.cr4 & ~0x2000);
    assert.equal(faultOf(bench, VMXON), 6);
    bench.reset();
    bench.cpu.setSegment(1, 0x18, 0, 0xffffffff, 0xc09b);
    bench.cpu.modeChanged();
    assert.equal(faultOf(bench, '0f 01 c4'), 6);
  });
  it('is #GP unless IA32_FEATURE_CONTROL is locked with VMX on', () => {
    for (const value of [0n, 1n, 4n]) {
      operand(AT.vmxon, 0, outside());
      bench.cpu.environment.msrs.set(FEATURE_CONTROL, value);
      assert.equal(faultOf(bench, VMXON), 13);
    }
  });
  it('is #GP if CR0 breaks the fixed bits', () => {
    operand(AT.vmxon, 0, outside());
    bench.cpu.set32(STATE.cr0, bench.cpu.get32(STATE.cr0) & ~0x20);
    assert.equal(faultOf(bench, VMXON), 13);
  });
  it('fails with a bad pointer or revision', () => {
    for (const [low, high] of [
      [AT.vmxon + 8, 0],
      [AT.vmxon, 0x80],
      [AT.free, 0],
    ]) {
      operand(low, high, outside()).host(VMXON);
      assert.equal(bench.outcome, 'VMfailInvalid');
      assert.equal(bench.unit.state.vmxOperation, false);
    }
    bench.poke64(AT.vmxon, (VMCS_REVISION_ID | 0x80000000) >>> 0);
    operand(AT.vmxon).host(VMXON);
    assert.equal(bench.outcome, 'VMfailInvalid', 'a shadow VMCS is no VMXON region');
  });
  it('in root operation fails with 15, before the pointer is looked at', () => {
    operand(1, 0, bench.reset()).host(VMXON);
    assert.equal(bench.outcome, 'VMfailValid 15');
  });
  it('all others are #UD outside VMX operation, #GP above CPL 0', () => {
    for (const code of [
      '0f 01 c4',
      '0f 01 c2',
      '0f 01 c3',
      '0f 01 c1',
      VMCLEAR,
      VMPTRLD,
      VMPTRST,
      VMREAD_RAX_RCX,
      VMWRITE_RCX_RAX,
      `66 0f 38 80 1c 25 ${OPERAND}`,
      '0f 01 d4',
    ]) {
      outside();
      assert.equal(faultOf(bench, code), 6, code);
    }
  });
});

describe('VMPTRLD, VMCLEAR, VMPTRST', () => {
  it('VMPTRST stores the pointer, all ones if there is none', () => {
    bench.reset().host(VMPTRST);
    assert.equal(bench.peek64(AT.operand), BigInt(AT.vmcs));
    bench.unit.state.currentVmcs = -1;
    bench.host(VMPTRST);
    assert.equal(bench.peek64(AT.operand), NO_POINTER);
  });
  it('VMPTRLD checks alignment and width, the VMXON pointer, the revision', () => {
    const errors: [number, number, number][] = [
      [AT.vmcs + 1, 0, 9],
      [AT.vmcs, 0x80, 9],
      [AT.vmxon, 0, 10],
      [AT.free, 0, 11],
      [0x40000000, 0, 11],
    ];
    for (const [low, high, error] of errors) {
      operand(low, high, bench.reset()).host(VMPTRLD);
      assert.equal(bench.outcome, `VMfailValid ${error}`);
      assert.equal(bench.unit.state.currentVmcs, AT.vmcs);
    }
    bench.unit.state.currentVmcs = -1;
    operand(AT.free).host(VMPTRLD);
    assert.equal(bench.outcome, 'VMfailInvalid', 'no current VMCS to hold the error');
  });
  it('a shadow VMCS can be made current where shadowing is', () => {
    for (const [b, outcome] of [
      [bench, 'VMsucceed'],
      [paper, 'VMfailValid 11'],
    ] as const) {
      b.reset().poke64(AT.shadowVmcs, (VMCS_REVISION_ID | 0x80000000) >>> 0);
      operand(AT.shadowVmcs, 0, b).host(VMPTRLD);
      assert.equal(b.outcome, outcome);
    }
    bench.host('0f 01 c2');
    assert.equal(bench.outcome, 'VMfailInvalid', 'and cannot be launched');
  });
  it('VMCLEAR makes the launch state clear, and forgets the current VMCS', () => {
    bench.reset().launch('0f a2');
    bench.host('0f 01 c2');
    assert.equal(bench.outcome, 'VMfailValid 4');
    operand(AT.vmcs).host(VMCLEAR);
    assert.equal(bench.outcome, 'VMsucceed');
    assert.equal(bench.unit.state.currentVmcs, -1);
    operand(AT.vmcs).host(VMPTRLD);
    bench.host('0f 01 c3');
    assert.equal(bench.outcome, 'VMfailValid 5');
    assert.equal(bench.launch('0f a2'), 'CPUID');
  });
  it('VMCLEAR checks alignment and the VMXON pointer', () => {
    for (const [low, high, error] of [
      [AT.vmcs + 4, 0, 2],
      [0, 0x80, 2],
      [AT.vmxon, 0, 3],
    ]) {
      operand(low, high, bench.reset()).host(VMCLEAR);
      assert.equal(bench.outcome, `VMfailValid ${error}`);
    }
  });
  it('a page fault on the operand leaves the flags', () => {
    bench.reset();
    bench.cpu.arithmeticFlags = 0x41;
    assert.equal(faultOf(bench, '0f c7 34 25 00 00 00 40'), 14);
  });
});

describe('VMREAD and VMWRITE', () => {
  const access = (code: string, encoding: number, value = 0n, b = bench): VmxBench => {
    b.cpu.setReg64(RCX, BigInt(encoding >>> 0));
    b.cpu.setReg64(RAX, value);
    return b.host(code);
  };
  it('every field of the profile can be read and written, cut to its width; no other', () => {
    for (const b of [bench, paper]) {
      b.reset();
      const capabilities = b.unit.capabilities;
      for (const field of FIELDS) {
        access(VMWRITE_RCX_RAX, field.encoding, 0x1122334455667788n, b);
        const readOnly = field.access === 'ro' && capabilities === PROFILES['paper-1'];
        const exists = fieldExists(capabilities, field);
        assert.equal(b.outcome, !exists ? 'VMfailValid 12' : readOnly ? 'VMfailValid 13' : 'VMsucceed', field.name);
        access(VMREAD_RAX_RCX, field.encoding, 0n, b);
        assert.equal(b.outcome, exists ? 'VMsucceed' : 'VMfailValid 12', field.name);
        if (!exists || readOnly || field.name === 'VM_INSTRUCTION_ERROR') continue;
        const written = field.width === 'u16' ? 0x7788n : field.width === 'u32' ? 0x55667788n : 0x1122334455667788n;
        assert.equal(b.cpu.reg64(RAX), written, field.name);
      }
    }
  });
  it('access type "high" reaches the upper half of 64-bit fields only', () => {
    bench.reset().set('TSC_OFFSET', 0x11111111, 0x22222222);
    access(VMREAD_RAX_RCX, ENCODING.TSC_OFFSET + 1);
    assert.equal(bench.cpu.reg64(RAX), 0x22222222n);
    access(VMWRITE_RCX_RAX, ENCODING.TSC_OFFSET + 1, 0x33333333n);
    assert.equal(bench.get64('TSC_OFFSET'), 0x3333333311111111n);
    access(VMREAD_RAX_RCX, ENCODING.GUEST_RIP + 1);
    assert.equal(bench.outcome, 'VMfailValid 12');
  });
  it('an encoding with bits beyond 31 names nothing', () => {
    bench.reset().cpu.setReg64(RCX, 0x100000000n + BigInt(ENCODING.GUEST_RIP));
    bench.host(VMREAD_RAX_RCX);
    assert.equal(bench.outcome, 'VMfailValid 12');
  });
  it('has memory operands', () => {
    bench.reset().cpu.setReg64(RCX, BigInt(ENCODING.GUEST_RIP));
    bench.host(`0f 78 0c 25 ${OPERAND}`);
    assert.equal(bench.peek64(AT.operand), BigInt(AT.guestCode));
    bench.poke64(AT.operand, 0x5678, 0xffffffff);
    bench.host(`0f 79 0c 25 ${OPERAND}`);
    assert.equal(bench.get64('GUEST_RIP'), 0xffffffff00005678n);
  });
  it('fails without a current VMCS', () => {
    bench.reset().unit.state.currentVmcs = -1;
    access(VMREAD_RAX_RCX, ENCODING.GUEST_RIP);
    assert.equal(bench.outcome, 'VMfailInvalid');
  });
});

describe('VMCS shadowing', () => {
  const shadowing = (): VmxBench => {
    bench.reset().secondary(SECONDARY.VMCS_SHADOWING).set('VMCS_LINK_POINTER', AT.shadowVmcs);
    bench.poke64(AT.shadowVmcs, (VMCS_REVISION_ID | 0x80000000) >>> 0);
    bench.poke64(AT.shadowVmcs + OFFSET.GUEST_RIP, 0xabcd, 0x12);
    bench.cpu.setReg64(RCX, BigInt(ENCODING.GUEST_RIP));
    return bench;
  };
  it('reads and writes the linked VMCS without an exit', () => {
    shadowing().cpu.setReg64(RBX, 0x77n);
    assert.equal(bench.launch('0f 78 c8 0f 79 cb 0f a2'), 'CPUID');
    assert.equal(bench.cpu.reg64(RAX), 0x120000abcdn);
    assert.equal(bench.peek64(AT.shadowVmcs + OFFSET.GUEST_RIP), 0x77n);
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 6, 'the current one is not touched');
  });
  it('exits for fields whose bit is 1, and for encodings beyond the bitmaps', () => {
    shadowing().setBit(AT.vmreadBitmap, ENCODING.GUEST_RIP);
    assert.equal(bench.launch('0f 78 c8'), 'VMREAD');
    shadowing().setBit(AT.vmwriteBitmap, ENCODING.GUEST_RIP);
    assert.equal(bench.launch('0f 79 c8'), 'VMWRITE');
    shadowing().cpu.setReg64(RCX, 0x8000n);
    assert.equal(bench.launch('0f 78 c8'), 'VMREAD');
  });
  it('an unsupported field is an error in the shadow VMCS; no linked VMCS is VMfailInvalid', () => {
    shadowing().cpu.setReg64(RCX, 0x7ffen);
    assert.equal(bench.launch('0f 78 c8 0f a2'), 'CPUID');
    assert.equal(bench.get('GUEST_RFLAGS') & 0x41, 0x40);
    assert.equal(bench.peek64(AT.shadowVmcs + OFFSET.VM_INSTRUCTION_ERROR), 12n);
    shadowing().set('VMCS_LINK_POINTER', 0xffffffff, 0xffffffff);
    assert.equal(bench.launch('0f 78 c8 0f a2'), 'CPUID');
    assert.equal(bench.get('GUEST_RFLAGS') & 0x41, 1);
  });
});

describe('VMLAUNCH and VMRESUME', () => {
  it('refuse in order: no VMCS, MOV SS, launch state, controls, host state', () => {
    bench.reset().unit.state.currentVmcs = -1;
    bench.host('0f 01 c2');
    assert.equal(bench.outcome, 'VMfailInvalid');
    bench.reset().set('HOST_CR3', 0, 0x80).set('CPU_BASED_VM_EXEC_CONTROL', 0);
    bench.host('66 8c d0 8e d0 0f 01 c3');
    assert.equal(bench.outcome, 'VMfailValid 26');
    bench.host('0f 01 c3');
    assert.equal(bench.outcome, 'VMfailValid 5');
    bench.host('0f 01 c2');
    assert.equal(bench.outcome, 'VMfailValid 7');
    bench.reset().set('HOST_CR3', 0, 0x80).host('0f 01 c2');
    assert.equal(bench.outcome, 'VMfailValid 8');
    assert.equal(bench.unit.lastEntryFailure?.id, 'host.cr3.width');
  });
  it('VMCALL in root operation fails with 1', () => {
    bench.reset().host('0f 01 c1');
    assert.equal(bench.outcome, 'VMfailValid 1');
  });
  it('VMFUNC is undefined everywhere: no profile has a VM function', () => {
    bench.reset();
    assert.equal(faultOf(bench, '0f 01 d4'), 6);
    bench.reset().set('EXCEPTION_BITMAP', 1 << 6);
    assert.equal(bench.launch('0f 01 d4'), 'EXCEPTION_NMI');
  });
});

describe('INVEPT and INVVPID', () => {
  const invalidate = (
    opcode: string,
    type: bigint,
    low: number,
    high = 0,
    linearLow = 0,
    linearHigh = 0,
    b = bench,
  ): string => {
    b.cpu.setReg64(RAX, type);
    b.poke64(AT.operand, low, high);
    b.poke64(AT.operand + 8, linearLow, linearHigh);
    b.host(`66 0f 38 ${opcode} 04 25 ${OPERAND}`);
    return b.outcome;
  };
  it('INVEPT: types 1 and 2, a valid EPTP for type 1', () => {
    bench.reset();
    assert.equal(invalidate('80', 1n, AT.ept | 0x1e), 'VMsucceed');
    assert.equal(invalidate('80', 1n, AT.ept | 0x5e), 'VMsucceed');
    assert.equal(invalidate('80', 2n, 0xffffffff, 0xffffffff), 'VMsucceed', 'the descriptor of type 2 does not matter');
    for (const [type, low, high] of [
      [0n, AT.ept | 0x1e, 0],
      [3n, AT.ept | 0x1e, 0],
      [0x100000001n, AT.ept | 0x1e, 0],
      [1n, AT.ept | 0x1d, 0],
      [1n, AT.ept | 0x16, 0],
      [1n, AT.ept | 0x9e, 0],
      [1n, AT.ept | 0x1e, 0x80],
    ] as const)
      assert.equal(invalidate('80', type, low, high), 'VMfailValid 28');
    paper.reset();
    assert.equal(invalidate('80', 1n, AT.ept | 0x5e, 0, 0, 0, paper), 'VMfailValid 28', 'no accessed and dirty flags');
  });
  it('INVVPID: types, reserved bits, VPID 0, canonical address', () => {
    bench.reset();
    for (const type of [0n, 1n, 2n, 3n]) assert.equal(invalidate('81', type, 5), 'VMsucceed');
    assert.equal(invalidate('81', 2n, 0), 'VMsucceed');
    for (const type of [0n, 1n, 3n]) assert.equal(invalidate('81', type, 0), 'VMfailValid 28');
    assert.equal(invalidate('81', 4n, 5), 'VMfailValid 28');
    assert.equal(invalidate('81', 1n, 0x10005), 'VMfailValid 28');
    assert.equal(invalidate('81', 1n, 5, 1), 'VMfailValid 28');
    assert.equal(invalidate('81', 0n, 5, 0, 0, 0x8000), 'VMfailValid 28');
    paper.reset();
    assert.equal(invalidate('81', 0n, 5, 0, 0, 0, paper), 'VMfailValid 28');
    assert.equal(invalidate('81', 1n, 5, 0, 0, 0, paper), 'VMsucceed');
  });
});

describe('a guest that launches', () => {
  it('saves and restores what the VMCS holds: two exits in a row see one guest', () => {
    bench.reset().primary(PRIMARY.HLT_EXITING);
    assert.equal(bench.launch('b8 01 00 00 00 0f a2 48 ff c0 f9 f4'), 'CPUID');
    bench.set('GUEST_RIP', bench.get('GUEST_RIP') + 2);
    bench.cpu.setReg64(RAX, 9n);
    assert.equal(bench.resume(), 'HLT');
    assert.equal(bench.cpu.reg64(RAX), 10n);
    assert.equal(bench.get('GUEST_RFLAGS') & 1, 1);
    const names: FieldName[] = ['GUEST_CR3', 'GUEST_CS_AR_BYTES', 'GUEST_TR_BASE'];
    assert.deepEqual(
      names.map((name) => bench.get(name)),
      [AT.pageTables, 0xa09b, AT.guestTss],
    );
  });
});
