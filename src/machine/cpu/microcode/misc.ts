// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR0 } from '../processor.ts';
import type { Processor } from '../processor.ts';
import { STATE } from '../state.ts';
import { VECTOR } from './exceptions.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';

const FSW_ERROR_SUMMARY = 0x80;

/** Outside system management mode undefined; in VMX non-root operation an exit. */
function rsm(cpu: Processor, instruction: Instruction): number {
  return intercepted(cpu, instruction, 'RSM') ? INTERCEPTED : cpu.undefinedOpcode();
}

/** Everything happens in order anyway. */
function fence(): number {
  return STATUS.next;
}

/** WAIT: a pending x87 exception is raised now. See: SDM 8.7 Handling x87 FPU Exceptions in Software. */
function wait(cpu: Processor): number {
  if ((cpu.cr0 & (CR0.MP | CR0.TS)) === (CR0.MP | CR0.TS)) return cpu.fault(VECTOR.NM);
  return cpu.words[STATE.fsw >> 2] & FSW_ERROR_SUMMARY && cpu.cr0 & CR0.NE ? cpu.fault(VECTOR.MF) : STATUS.next;
}

export const MISC_MICROCODE: MicrocodeRoutines = {
  RSM: rsm,
  LFENCE: fence,
  MFENCE: fence,
  SFENCE: fence,
  WAIT: wait,
  FWAIT: wait,
};
