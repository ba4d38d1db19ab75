// SPDX-License-Identifier: Apache-2.0
import { msrAfterWrite } from '../../../arch/msrs.ts';
import { CAPABILITY_MSRS } from '../../../arch/vmx/capabilities.ts';
import type { CapabilityMsrName } from '../../../arch/vmx/capabilities.ts';
import { MSR_APIC_BASE, MSR_TSC_DEADLINE, MSR_X2APIC_FIRST } from '../../../devices/lapic.ts';
import { CR0, EFER } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { FS, GS, SEGMENT, STATE, segmentOffset } from '../state.ts';
import { visibleTsc } from './time.ts';

/** Where a register lives that is not in `MsrState`. */
interface MsrPlace {
  readonly read: (cpu: Processor) => bigint;
  /** After the row's checks; false: #GP after all. */
  readonly write: (cpu: Processor, value: bigint) => boolean;
}

const IA32_FEATURE_CONTROL = 0x3a;
const FEATURE_CONTROL_LOCK = 1n;

function field(offset: number): MsrPlace {
  return {
    read: (cpu) => cpu.get64(offset),
    write: (cpu, value) => {
      cpu.set64(offset, value);
      return true;
    },
  };
}

const halves = (value: { readonly low: number; readonly high: number }): bigint =>
  (BigInt(value.high) << 32n) | BigInt(value.low);
const low = (value: bigint): number => Number(value & 0xffffffffn);
const high = (value: bigint): number => Number(value >> 32n);

/** See: SDM 18.17.3 Time-Stamp Counter Adjustment. */
const timeStampCounter: MsrPlace = {
  read: (cpu) => halves(visibleTsc(cpu)),
  write: (cpu, value) => {
    cpu.environment.tsc.write(low(value), high(value));
    cpu.environment.localApic.tscChanged();
    return true;
  },
};
const tscAdjust: MsrPlace = {
  read: (cpu) => halves(cpu.environment.tsc.adjust),
  write: (cpu, value) => {
    cpu.environment.tsc.writeAdjust(low(value), high(value));
    cpu.environment.localApic.tscChanged();
    return true;
  },
};

/** Once locked, nothing changes it until reset. See: SDM 24.7 Enabling and Entering VMX Operation. */
const featureControl: MsrPlace = {
  read: (cpu) => cpu.environment.msrs.get(IA32_FEATURE_CONTROL),
  write: (cpu, value) => {
    const { msrs } = cpu.environment;
    if (msrs.get(IA32_FEATURE_CONTROL) & FEATURE_CONTROL_LOCK) return false;
    msrs.set(IA32_FEATURE_CONTROL, value);
    return true;
  },
};

/** LMA follows CR0.PG; LME cannot change under paging. See: SDM 2.2.1 Extended Feature Enable Register. */
const extendedFeatureEnable: MsrPlace = {
  read: (cpu) => cpu.get64(STATE.efer),
  write: (cpu, value) => {
    const changed = low(value) ^ cpu.efer;
    if (changed & EFER.LME && cpu.cr0 & CR0.PG) return false;
    cpu.set64(STATE.efer, value);
    if (changed & EFER.NXE) cpu.mmu.pagingChanged();
    cpu.modeChanged();
    return true;
  },
};

// prettier-ignore
const PLACES: ReadonlyMap<number, MsrPlace> = new Map([
  [0x010,      timeStampCounter],
  [0x03a,      featureControl],
  [0x03b,      tscAdjust],
  [0x174,      field(STATE.sysenterCs)],
  [0x175,      field(STATE.sysenterEsp)],
  [0x176,      field(STATE.sysenterEip)],
  [0x277,      field(STATE.pat)],
  [0xda0,      field(STATE.xss)],
  [0xc0000080, extendedFeatureEnable],
  [0xc0000081, field(STATE.star)],
  [0xc0000082, field(STATE.lstar)],
  [0xc0000083, field(STATE.cstar)],
  [0xc0000084, field(STATE.fmask)],
  [0xc0000100, field(segmentOffset(FS) + SEGMENT.base)],
  [0xc0000101, field(segmentOffset(GS) + SEGMENT.base)],
  [0xc0000102, field(STATE.kernelGsBase)],
  [0xc0000103, field(STATE.tscAux)],
]);

/** Number of a VMX capability MSR -> its name. */
const CAPABILITIES: ReadonlyMap<number, CapabilityMsrName> = new Map(
  (Object.entries(CAPABILITY_MSRS) as [CapabilityMsrName, number][]).map(([name, index]) => [index, name]),
);

/** Registers of the local APIC: it says itself which exist in its mode. */
export function isLocalApicMsr(index: number): boolean {
  return (
    index === MSR_APIC_BASE ||
    index === MSR_TSC_DEADLINE ||
    (index >= MSR_X2APIC_FIRST && index < MSR_X2APIC_FIRST + 0x100)
  );
}

/** The value that RDMSR gives, unsigned, or undefined for #GP. `index` is unsigned. */
export function readMsr(cpu: Processor, index: number): bigint | undefined {
  const { msrs, localApic, vmxCapabilities } = cpu.environment;
  if (isLocalApicMsr(index)) return localApic.readMsr(index) ? halves(localApic) : undefined;
  const row = msrs.row(index);
  if (row !== undefined) return row.readable ? (PLACES.get(index)?.read(cpu) ?? msrs.get(index)) : undefined;
  const capability = CAPABILITIES.get(index);
  const value = capability === undefined ? undefined : vmxCapabilities?.[capability];
  return value === undefined ? undefined : halves(value);
}

/** What WRMSR does; false for #GP, and nothing changed. `value` is unsigned. */
export function writeMsr(cpu: Processor, index: number, value: bigint): boolean {
  const { msrs, localApic } = cpu.environment;
  if (isLocalApicMsr(index)) return localApic.writeMsr(index, low(value), high(value));
  const row = msrs.row(index);
  if (row === undefined) return false;
  const place = PLACES.get(index);
  const after = msrAfterWrite(row, place?.read(cpu) ?? msrs.get(index), value);
  if (after === undefined) return false;
  if (place !== undefined) return place.write(cpu, after);
  msrs.set(index, after);
  return true;
}

/** Whether there is such a register on this processor, in whatever mode. */
export function msrExists(cpu: Processor, index: number): boolean {
  const { msrs, vmxCapabilities } = cpu.environment;
  const capability = CAPABILITIES.get(index);
  return (
    isLocalApicMsr(index) ||
    msrs.row(index) !== undefined ||
    (capability !== undefined && vmxCapabilities?.[capability] !== undefined)
  );
}

/** Power-up values of the registers of the table; those in the state block included. */
export function resetMsrs(cpu: Processor): void {
  const { msrs } = cpu.environment;
  msrs.reset();
  for (const [index, place] of PLACES) {
    const row = msrs.row(index);
    if (row !== undefined && place !== timeStampCounter && place !== tscAdjust && place !== featureControl)
      place.write(cpu, row.reset);
  }
}
