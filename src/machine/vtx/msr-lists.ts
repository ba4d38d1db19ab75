// SPDX-License-Identifier: Apache-2.0
import type { EntryRule } from '../../arch/vmx/entry-check-row.ts';
import { MSR_ENTRY_SIZE, MSR_WRITE_RULE, msrEntryFailure } from '../../arch/vmx/msr-load-rules.ts';
import type { MsrList, MsrListRule } from '../../arch/vmx/msr-load-rules.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import { readMsr, writeMsr } from '../cpu/microcode/msr-table.ts';
import type { Processor } from '../cpu/processor.ts';
import { readPhysical32 } from './vmcs.ts';

const bytes = new Uint8Array(8);
const value = new DataView(bytes.buffer);

function brokenRule(cpu: Processor, list: MsrList, entry: PhysicalAddress): MsrListRule | undefined {
  const { memory } = cpu;
  const context = { x2apicMode: cpu.environment.localApic.x2apicMode, inSmm: false };
  return msrEntryFailure(list, readPhysical32(memory, entry), readPhysical32(memory, entry + 4), context);
}

/** The rule that an entry of the VM-entry MSR-load list broke, now that loading it has failed. */
export function failedLoadRule(cpu: Processor, entry: PhysicalAddress): EntryRule {
  return brokenRule(cpu, 'entryLoad', entry) ?? MSR_WRITE_RULE;
}

function load(cpu: Processor, list: MsrList, entry: PhysicalAddress): boolean {
  if (brokenRule(cpu, list, entry) !== undefined) return false;
  cpu.memory.read(entry + 8, bytes);
  return writeMsr(cpu, readPhysical32(cpu.memory, entry), value.getBigUint64(0, true));
}

function store(cpu: Processor, entry: PhysicalAddress): boolean {
  if (brokenRule(cpu, 'exitStore', entry) !== undefined) return false;
  const read = readMsr(cpu, readPhysical32(cpu.memory, entry));
  if (read === undefined) return false;
  value.setBigUint64(0, read, true);
  cpu.memory.write(entry + 8, bytes);
  return true;
}

/**
 * Loads (`entryLoad`, `exitLoad`) or stores (`exitStore`) the MSRs of a list in order. Returns 0, or the number from 1
 * of the first entry that failed; what came before it stays done. See: SDM 27.4 Loading MSRs, 28.4 Saving MSRs
 */
export function processMsrList(cpu: Processor, list: MsrList, address: PhysicalAddress, count: number): number {
  for (let i = 0; i < count; i++) {
    const entry = address + i * MSR_ENTRY_SIZE;
    if (!(list === 'exitStore' ? store(cpu, entry) : load(cpu, list, entry))) return i + 1;
  }
  return 0;
}
