// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { RAX, RCX, RDX } from '../state.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';
import { isLocalApicMsr, msrExists, readMsr, writeMsr } from './msr-table.ts';

/** #GP(0); a register that does not exist at all is counted. */
function refused(cpu: Processor, index: number, kind: 'reads' | 'writes'): number {
  if (!msrExists(cpu, index)) cpu.environment.msrs.noteUnknown(index, kind);
  return cpu.generalProtection();
}

function rdmsr(cpu: Processor, instruction: Instruction): number {
  const index = cpu.reg32(RCX);
  if (intercepted(cpu, instruction, 'RDMSR', { number: index })) return INTERCEPTED;
  const value = readMsr(cpu, index);
  if (value === undefined) return refused(cpu, index, 'reads');
  cpu.setReg64(RAX, value & 0xffffffffn);
  cpu.setReg64(RDX, value >> 32n);
  return STATUS.next;
}

function wrmsr(cpu: Processor, instruction: Instruction): number {
  const index = cpu.reg32(RCX);
  const low = cpu.reg32(RAX);
  const high = cpu.reg32(RDX);
  if (intercepted(cpu, instruction, 'WRMSR', { number: index })) return INTERCEPTED;
  // Timers and interrupts: the registers written most.
  if (isLocalApicMsr(index))
    return cpu.environment.localApic.writeMsr(index, low, high) ? STATUS.next : cpu.generalProtection();
  return writeMsr(cpu, index, (BigInt(high) << 32n) | BigInt(low)) ? STATUS.next : refused(cpu, index, 'writes');
}

export const MSR_MICROCODE: MicrocodeRoutines = { RDMSR: rdmsr, WRMSR: wrmsr };
