// SPDX-License-Identifier: Apache-2.0
// The three MSR lists of vmcs12, processed by L0 as the processor would. See: SDM 27.4 Loading MSRs, 28.4 Saving MSRs, 28.6 Loading MSRs

import type { EntryRule } from '../../arch/vmx/entry-check-row.ts';
import { MSR_ENTRY_SIZE, MSR_WRITE_RULE, msrEntryFailure } from '../../arch/vmx/msr-load-rules.ts';
import type { MsrList, MsrListRule } from '../../arch/vmx/msr-load-rules.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import { readMsr, writeMsr } from '../msrs.ts';
import type { Vcpu } from '../vcpu.ts';
import { writeEferOfL2 } from './efer.ts';

const IA32_EFER = 0xc0000080;

/** How an entry of a list is carried out; false: it failed. */
type Carry = (vcpu: Vcpu, index: number, entry: PhysicalAddress) => boolean;

function load(vcpu: Vcpu, index: number, entry: PhysicalAddress): boolean {
  const { memory } = vcpu.machine;
  return writeMsr(vcpu, index, (BigInt(memory.read32(entry + 12)) << 32n) | BigInt(memory.read32(entry + 8)));
}

/** In L2's context, where control registers are not L0's to set. */
const loadForL2 =
  (eferSupported: number): Carry =>
  (vcpu, index, entry) => {
    const { memory } = vcpu.machine;
    if (index !== IA32_EFER) return load(vcpu, index, entry);
    return writeEferOfL2(vcpu, memory.read32(entry + 8), memory.read32(entry + 12), eferSupported);
  };

/** What RDMSR gives outside L2: the time-stamp counter is L1's. */
function store(vcpu: Vcpu, index: number, entry: PhysicalAddress): boolean {
  const value = readMsr(vcpu, index);
  if (value === undefined) return false;
  vcpu.machine.memory.write32(entry + 8, Number(value & 0xffffffffn));
  vcpu.machine.memory.write32(entry + 12, Number(value >> 32n));
  return true;
}

/** Of one entry: those before it may have changed the mode of the local APIC. */
function brokenRule(vcpu: Vcpu, list: MsrList, entry: PhysicalAddress): MsrListRule | undefined {
  const { memory } = vcpu.machine;
  const context = { x2apicMode: vcpu.localApic.x2apicMode, inSmm: false };
  return msrEntryFailure(list, memory.read32(entry), memory.read32(entry + 4), context);
}

function process(vcpu: Vcpu, list: MsrList, address: PhysicalAddress, count: number, carry: Carry): number {
  for (let i = 0; i < count; i++) {
    const entry = address + i * MSR_ENTRY_SIZE;
    if (brokenRule(vcpu, list, entry) !== undefined) return i + 1;
    if (!carry(vcpu, vcpu.machine.memory.read32(entry), entry)) return i + 1;
  }
  return 0;
}

/** The rule that an entry of the VM-entry MSR-load list broke, now that loading it has failed. */
export function failedLoadRule(vcpu: Vcpu, entry: PhysicalAddress): EntryRule {
  return brokenRule(vcpu, 'entryLoad', entry) ?? MSR_WRITE_RULE;
}

// Each returns 0, or the number from 1 of the first entry that failed; what came before it stays done.

/** vmcs02 is current. */
export function loadEntryList(vcpu: Vcpu, address: PhysicalAddress, count: number, eferSupported: number): number {
  return process(vcpu, 'entryLoad', address, count, loadForL2(eferSupported));
}
/** vmcs02 is current. */
export function storeExitList(vcpu: Vcpu, address: PhysicalAddress, count: number): number {
  return process(vcpu, 'exitStore', address, count, store);
}
/** vmcs01 is current, with L1's host state. */
export function loadExitList(vcpu: Vcpu, address: PhysicalAddress, count: number): number {
  return process(vcpu, 'exitLoad', address, count, load);
}
