// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { controlOf } from '../../arch/vmx/controls.ts';
import type { ControlKey } from '../../arch/vmx/controls.ts';
import { exampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import type { ExampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { EXIT_REASON, EXIT_REASONS } from '../../arch/vmx/exit-reasons.ts';
import type { ExitReasonName } from '../../arch/vmx/exit-reasons.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { exitInformation } from './exit-information.ts';
import type { ExitInformation } from './exit-information.ts';
import { EXIT_ROUTES, exitRoute, ownerOf } from './exit-routes.ts';

const FIELD: { readonly [group: string]: FieldName } = {
  pin: 'PIN_BASED_VM_EXEC_CONTROL',
  primary: 'CPU_BASED_VM_EXEC_CONTROL',
  secondary: 'SECONDARY_VM_EXEC_CONTROL',
};

function setControl(vmcs: ExampleVmcs, key: ControlKey): void {
  const { group, bit } = controlOf(key);
  if (group === 'secondary') vmcs.or('CPU_BASED_VM_EXEC_CONTROL', 0x80000000);
  vmcs.or(FIELD[group], 1 << bit);
}

interface Asked {
  readonly exit?: Partial<ExitInformation>;
  readonly registers?: { readonly [number: number]: number };
  /** L1's bytes that are not 0. */
  readonly memory?: { readonly [address: number]: number };
}

function owner(vmcs: ExampleVmcs, reason: ExitReasonName, asked: Asked = {}): string {
  const row = exitRoute(EXIT_REASON[reason]);
  assert.ok(row);
  return ownerOf(row.route, {
    vmcs12: vmcs.view,
    exit: exitInformation(EXIT_REASON[reason], asked.exit),
    l1: { read: (address, bytes) => bytes.forEach((_, i) => (bytes[i] = asked.memory?.[address + i] ?? 0)) },
    register: (number) => ({ low: asked.registers?.[number] ?? 0, high: 0 }),
  });
}

describe('exit routes', () => {
  it('every exit reason has exactly one row', () => {
    assert.deepEqual(
      EXIT_ROUTES.map(({ reason }) => reason),
      EXIT_REASONS.map(({ name }) => name),
    );
  });

  for (const { reason, route } of EXIT_ROUTES) {
    if (route.to === 'L0' || route.to === 'L1' || route.to === 'EPT12') {
      it(`${reason} is always for ${route.to}`, () => {
        const nothing = exampleVmcs();
        const everything = exampleVmcs();
        for (const name of [
          'PIN_BASED_VM_EXEC_CONTROL',
          'CPU_BASED_VM_EXEC_CONTROL',
          'SECONDARY_VM_EXEC_CONTROL',
          'EXCEPTION_BITMAP',
        ] as const)
          everything.set(name, 0xffffffff);
        assert.equal(owner(nothing, reason), route.to);
        assert.equal(owner(everything, reason), route.to);
      });
    }
    if (route.to !== 'L1 if set') continue;
    it(`${reason} is L0's unless L1 sets ${route.controls.join(' or ')}`, () => {
      const vmcs = exampleVmcs();
      for (const key of route.controls) vmcs.clear(FIELD[controlOf(key).group], 1 << controlOf(key).bit);
      assert.equal(owner(vmcs, reason), 'L0');
      for (const key of route.controls) {
        const one = exampleVmcs();
        setControl(one, key);
        assert.equal(owner(one, reason), 'L1', key);
      }
    });
  }

  it('a secondary control counts only if it is activated', () => {
    const vmcs = exampleVmcs();
    vmcs.clear('CPU_BASED_VM_EXEC_CONTROL', 0x80000000);
    vmcs.set('SECONDARY_VM_EXEC_CONTROL', 0xffffffff);
    assert.equal(owner(vmcs, 'WBINVD'), 'L0');
  });
});

describe('exceptions of L2', () => {
  const exception = (vector: number, errorCode = 0, type = 3): Asked => ({
    exit: { interruption: (0x80000000 | (type << 8) | vector) >>> 0, errorCode },
  });
  it("are L1's by its bitmap; #BP and #OF too (CVE-2016-9588)", () => {
    const vmcs = exampleVmcs();
    vmcs.set('EXCEPTION_BITMAP', 1 << 3);
    assert.equal(owner(vmcs, 'EXCEPTION_NMI', exception(3, 0, 6)), 'L1');
    assert.equal(owner(vmcs, 'EXCEPTION_NMI', exception(4, 0, 6)), 'L0');
    assert.equal(owner(vmcs, 'EXCEPTION_NMI', exception(13)), 'L0');
  });
  it('page faults go by the error-code filter', () => {
    const vmcs = exampleVmcs();
    vmcs.set('EXCEPTION_BITMAP', 1 << 14);
    vmcs.set('PAGE_FAULT_ERROR_CODE_MASK', 1);
    vmcs.set('PAGE_FAULT_ERROR_CODE_MATCH', 1);
    assert.equal(owner(vmcs, 'EXCEPTION_NMI', exception(14, 1)), 'L1');
    assert.equal(owner(vmcs, 'EXCEPTION_NMI', exception(14, 0)), 'L0');
    vmcs.set('EXCEPTION_BITMAP', 0);
    assert.equal(owner(vmcs, 'EXCEPTION_NMI', exception(14, 1)), 'L0');
    assert.equal(owner(vmcs, 'EXCEPTION_NMI', exception(14, 0)), 'L1');
  });
  it("an NMI of the hardware is L0's", () => {
    const vmcs = exampleVmcs();
    vmcs.set('EXCEPTION_BITMAP', 0xffffffff);
    assert.equal(owner(vmcs, 'EXCEPTION_NMI', exception(2, 0, 2)), 'L0');
  });
});

describe('control-register accesses of L2', () => {
  const access = (number: number, type: number, register = 0, source = 0): number =>
    number | (type << 4) | (register << 8) | (source << 16);
  const cr = (vmcs: ExampleVmcs, qualificationLow: number, value = 0): string =>
    owner(vmcs, 'CR_ACCESS', { exit: { qualificationLow }, registers: { 0: value } });

  it('MOV to CR0 and CR4: a bit that L1 owns would change', () => {
    const vmcs = exampleVmcs();
    vmcs.set('CR0_GUEST_HOST_MASK', 0x80000001);
    vmcs.set('CR0_READ_SHADOW', 1);
    assert.equal(cr(vmcs, access(0, 0), 0x80000001), 'L1');
    assert.equal(cr(vmcs, access(0, 0), 0x00050009), 'L0');
    vmcs.set('CR4_GUEST_HOST_MASK', 0x2000);
    assert.equal(cr(vmcs, access(4, 0), 0x2000), 'L1');
    assert.equal(cr(vmcs, access(4, 0), 0x20), 'L0');
  });
  it("CLTS: TS is L1's and shown as 1", () => {
    const vmcs = exampleVmcs();
    vmcs.set('CR0_GUEST_HOST_MASK', 8);
    assert.equal(cr(vmcs, access(0, 2)), 'L0');
    vmcs.set('CR0_READ_SHADOW', 8);
    assert.equal(cr(vmcs, access(0, 2)), 'L1');
  });
  it('LMSW: MP, EM or TS would change, or PE be set', () => {
    const vmcs = exampleVmcs();
    vmcs.set('CR0_GUEST_HOST_MASK', 0xf);
    vmcs.set('CR0_READ_SHADOW', 0x1);
    assert.equal(cr(vmcs, access(0, 3, 0, 1)), 'L0');
    assert.equal(cr(vmcs, access(0, 3, 0, 0)), 'L0', 'PE is not cleared by LMSW');
    assert.equal(cr(vmcs, access(0, 3, 0, 9)), 'L1');
    vmcs.set('CR0_READ_SHADOW', 0);
    assert.equal(cr(vmcs, access(0, 3, 0, 1)), 'L1');
  });
  it('CR3 and CR8 go by their controls; a CR3 target does not exit', () => {
    const vmcs = exampleVmcs();
    vmcs.clear('CPU_BASED_VM_EXEC_CONTROL', 3 << 15);
    assert.equal(cr(vmcs, access(3, 0)), 'L0');
    setControl(vmcs, 'primary.CR3_LOAD_EXITING');
    assert.equal(cr(vmcs, access(3, 0), 0x5000), 'L1');
    vmcs.set('CR3_TARGET_COUNT', 1);
    vmcs.set('CR3_TARGET_VALUE0', 0x5000);
    assert.equal(cr(vmcs, access(3, 0), 0x5000), 'L0');
    assert.equal(cr(vmcs, access(3, 1)), 'L0');
    setControl(vmcs, 'primary.CR3_STORE_EXITING');
    assert.equal(cr(vmcs, access(3, 1)), 'L1');
    assert.equal(cr(vmcs, access(8, 0)), 'L0');
    setControl(vmcs, 'primary.CR8_LOAD_EXITING');
    assert.equal(cr(vmcs, access(8, 0)), 'L1');
    assert.equal(cr(vmcs, access(8, 1)), 'L0');
    setControl(vmcs, 'primary.CR8_STORE_EXITING');
    assert.equal(cr(vmcs, access(8, 1)), 'L1');
  });
});

describe("I/O and MSRs of L2: L0 does not forget L1's intercepts (CVE-2020-2732)", () => {
  const io = (vmcs: ExampleVmcs, port: number, bytes: number, memory = {}): string =>
    owner(vmcs, 'IO_INSTRUCTION', { exit: { qualificationLow: (port << 16) | (bytes - 1) }, memory });
  it('unconditional I/O exiting, unless bitmaps are used', () => {
    const vmcs = exampleVmcs();
    assert.equal(io(vmcs, 0x80, 1), 'L0');
    setControl(vmcs, 'primary.UNCONDITIONAL_IO_EXITING');
    assert.equal(io(vmcs, 0x80, 1), 'L1');
    setControl(vmcs, 'primary.USE_IO_BITMAPS');
    vmcs.set('IO_BITMAP_A', 0x10000);
    vmcs.set('IO_BITMAP_B', 0x11000);
    assert.equal(io(vmcs, 0x80, 1), 'L0');
  });
  it('every port of an access counts, in the bitmap of its half, and an access that wraps around exits', () => {
    const vmcs = exampleVmcs();
    setControl(vmcs, 'primary.USE_IO_BITMAPS');
    vmcs.set('IO_BITMAP_A', 0x10000);
    vmcs.set('IO_BITMAP_B', 0x11000);
    const memory = { [0x10000 + 0x10]: 1 << 3, 0x11000: 1 };
    assert.equal(io(vmcs, 0x80, 2, memory), 'L0');
    assert.equal(io(vmcs, 0x80, 4, memory), 'L1');
    assert.equal(io(vmcs, 0x7fff, 2, memory), 'L1');
    assert.equal(io(vmcs, 0x7fff, 1, memory), 'L0');
    assert.equal(io(vmcs, 0xffff, 2, memory), 'L1');
  });
  it("MSRs by L1's bitmap, all of them without one, and those out of its range", () => {
    const vmcs = exampleVmcs();
    const msr = (reason: 'MSR_READ' | 'MSR_WRITE', index: number, memory = {}): string =>
      owner(vmcs, reason, { registers: { 1: index }, memory });
    assert.equal(msr('MSR_READ', 0x10), 'L1');
    setControl(vmcs, 'primary.USE_MSR_BITMAPS');
    vmcs.set('MSR_BITMAP', 0x20000);
    assert.equal(msr('MSR_READ', 0x10), 'L0');
    assert.equal(msr('MSR_READ', 0x2000), 'L1');
    assert.equal(msr('MSR_READ', 0xbfffffff), 'L1');
    assert.equal(msr('MSR_WRITE', 0xc0000081, { [0x20000 + 0xc00 + 0x10]: 2 }), 'L1');
    assert.equal(msr('MSR_READ', 0xc0000081, { [0x20000 + 0xc00 + 0x10]: 2 }), 'L0');
    assert.equal(msr('MSR_READ', 0xc0000081, { [0x20000 + 0x400 + 0x10]: 2 }), 'L1');
  });
});
