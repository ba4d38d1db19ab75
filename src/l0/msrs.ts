// SPDX-License-Identifier: Apache-2.0
// The MSRs of L1: which there are says arch/msrs.ts; here is where each value lives. Values are unsigned 64-bit.

import { msrAfterWrite } from '../arch/msrs.ts';
import type { MsrRow } from '../arch/msrs.ts';
import { ENTRY } from '../arch/vmx/controls.ts';
import { OFFSET } from '../arch/vmx/fields.ts';
import { assert } from '../base/assert.ts';
import { MSR_APIC_BASE, MSR_TSC_DEADLINE, MSR_X2APIC_FIRST } from '../devices/lapic.ts';
import type { Halves, UnsavedRegister } from '../hardware/vmx.ts';
import { writeEfer } from './control-registers.ts';
import type { Vcpu } from './vcpu.ts';
import { isSet, readWide, writeWide } from './vmcs-access.ts';

const IA32_FEATURE_CONTROL = 0x3a;
const FEATURE_CONTROL_LOCK = 1n;
const FIRST_CAPABILITY = 0x480;
const LAST_CAPABILITY = 0x493;

interface MsrPlace {
  readonly read: (vcpu: Vcpu) => bigint;
  /** After the row's checks; false: #GP after all. */
  readonly write: (vcpu: Vcpu, value: bigint) => boolean;
}

const joined = ({ low, high }: Halves): bigint => (BigInt(high) << 32n) | BigInt(low);
const low = (value: bigint): number => Number(value & 0xffffffffn);
const high = (value: bigint): number => Number(value >> 32n);

/** A guest-state field of the current VMCS. */
function field(offset: number): MsrPlace {
  return {
    read: (vcpu) => readWide(vcpu.processor, offset),
    write: (vcpu, value) => {
      writeWide(vcpu.processor, offset, value);
      return true;
    },
  };
}

/** A register that stays in the processor across exits. */
function kept(register: UnsavedRegister): MsrPlace {
  return {
    read: (vcpu) => {
      const value = { low: 0, high: 0 };
      vcpu.processor.readRegister(register, value);
      return joined(value);
    },
    write: (vcpu, value) => {
      vcpu.processor.writeRegister(register, low(value), high(value));
      return true;
    },
  };
}

const timeStampCounter: MsrPlace = {
  read: (vcpu) => {
    const value = { low: 0, high: 0 };
    vcpu.tsc.read(value);
    return joined(value);
  },
  write: (vcpu, value) => {
    vcpu.tsc.write(low(value), high(value));
    return true;
  },
};

const tscAdjust: MsrPlace = {
  read: ({ state }) => joined({ low: state.tscAdjustLow, high: state.tscAdjustHigh }),
  write: (vcpu, value) => {
    vcpu.tsc.writeAdjust(low(value), high(value));
    return true;
  },
};

/** Once locked, nothing changes it until reset. See: SDM 24.7 Enabling and Entering VMX Operation. */
const featureControl: MsrPlace = {
  read: (vcpu) => storedMsr(vcpu, IA32_FEATURE_CONTROL),
  write: (vcpu, value) => {
    if (storedMsr(vcpu, IA32_FEATURE_CONTROL) & FEATURE_CONTROL_LOCK) return false;
    storeMsr(vcpu, IA32_FEATURE_CONTROL, value);
    return true;
  },
};

const extendedFeatureEnable: MsrPlace = {
  read: (vcpu) => BigInt(vcpu.efer >>> 0),
  write: (vcpu, value) => writeEfer(vcpu, low(value)),
};

// prettier-ignore
const PLACES: ReadonlyMap<number, MsrPlace> = new Map([
  [0x010,      timeStampCounter],
  [0x03a,      featureControl],
  [0x03b,      tscAdjust],
  [0x174,      field(OFFSET.GUEST_SYSENTER_CS)],
  [0x175,      field(OFFSET.GUEST_SYSENTER_ESP)],
  [0x176,      field(OFFSET.GUEST_SYSENTER_EIP)],
  [0x1d9,      field(OFFSET.GUEST_IA32_DEBUGCTL)],
  [0xda0,      kept('xss')],
  [0xc0000080, extendedFeatureEnable],
  [0xc0000081, kept('star')],
  [0xc0000082, kept('lstar')],
  [0xc0000083, kept('cstar')],
  [0xc0000084, kept('fmask')],
  [0xc0000100, field(OFFSET.GUEST_FS_BASE)],
  [0xc0000101, field(OFFSET.GUEST_GS_BASE)],
  [0xc0000102, kept('kernelGsBase')],
  [0xc0000103, kept('tscAux')],
]);

const IA32_PAT = 0x277;
const PAT_FIELD = field(OFFSET.GUEST_IA32_PAT);

/** Without the VM-entry control the PAT stays in the processor: L1's accesses do not exit, and L0 has its reset value. */
function placeOf(vcpu: Vcpu, index: number): MsrPlace | undefined {
  if (index === IA32_PAT && isSet(vcpu.processor, OFFSET.VM_ENTRY_CONTROLS, ENTRY.LOAD_IA32_PAT)) return PAT_FIELD;
  return PLACES.get(index);
}

function rowNumber(vcpu: Vcpu, index: number): number {
  return vcpu.machine.msrNumbers.get(index) ?? -1;
}

function rowOf(vcpu: Vcpu, index: number): MsrRow | undefined {
  return vcpu.machine.msrRows[rowNumber(vcpu, index)];
}

/** The value of an MSR that lives in L0's own state. */
export function storedMsr(vcpu: Vcpu, index: number): bigint {
  const number = rowNumber(vcpu, index);
  assert(number >= 0, `MSR ${index.toString(16)} exists`);
  const { msrs } = vcpu.state;
  return joined({ low: msrs[2 * number], high: msrs[2 * number + 1] });
}

export function storeMsr(vcpu: Vcpu, index: number, value: bigint): void {
  const number = rowNumber(vcpu, index);
  assert(number >= 0, `MSR ${index.toString(16)} exists`);
  vcpu.state.msrs[2 * number] = low(value);
  vcpu.state.msrs[2 * number + 1] = high(value);
}

/** Power-up values of the MSRs in L0's own state. */
export function resetMsrs(vcpu: Vcpu): void {
  for (const { index, reset } of vcpu.machine.msrRows) storeMsr(vcpu, index, reset);
}

/** Registers of the local APIC: it says itself which exist in its mode. */
export function isLocalApicMsr(index: number): boolean {
  return (
    index === MSR_APIC_BASE ||
    index === MSR_TSC_DEADLINE ||
    (index >= MSR_X2APIC_FIRST && index < MSR_X2APIC_FIRST + 0x100)
  );
}

const isCapability = (index: number): boolean => index >= FIRST_CAPABILITY && index <= LAST_CAPABILITY;

/** What RDMSR gives the guest, or undefined for #GP. */
export function readMsr(vcpu: Vcpu, index: number): bigint | undefined {
  const { localApic, machine } = vcpu;
  if (isLocalApicMsr(index)) return localApic.readMsr(index) ? joined(localApic) : undefined;
  const row = rowOf(vcpu, index);
  if (row !== undefined) return row.readable ? (placeOf(vcpu, index)?.read(vcpu) ?? storedMsr(vcpu, index)) : undefined;
  const capability = isCapability(index) ? machine.nested?.readCapability(index) : undefined;
  return capability === undefined ? undefined : joined(capability);
}

/** What WRMSR does; false for #GP, and nothing changed. */
export function writeMsr(vcpu: Vcpu, index: number, value: bigint): boolean {
  if (isLocalApicMsr(index)) return vcpu.localApic.writeMsr(index, low(value), high(value));
  const row = rowOf(vcpu, index);
  if (row === undefined) return false;
  const place = placeOf(vcpu, index);
  const after = msrAfterWrite(row, place?.read(vcpu) ?? storedMsr(vcpu, index), value);
  if (after === undefined) return false;
  if (place !== undefined) return place.write(vcpu, after);
  storeMsr(vcpu, index, after);
  return true;
}

/** Whether there is such a register, in whatever mode. */
export function msrExists(vcpu: Vcpu, index: number): boolean {
  if (isLocalApicMsr(index) || rowOf(vcpu, index) !== undefined) return true;
  return isCapability(index) && vcpu.machine.nested?.readCapability(index) !== undefined;
}

/** What firmware leaves, also in registers that are read-only afterwards; false: there is no such register. */
export function presetMsr(vcpu: Vcpu, index: number, value: bigint): boolean {
  const exists = rowOf(vcpu, index) !== undefined;
  if (exists && !writeMsr(vcpu, index, value)) storeMsr(vcpu, index, value);
  return exists;
}
