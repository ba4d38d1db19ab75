// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';

/** Outside system management mode undefined; in VMX non-root operation an exit. */
function rsm(cpu: Processor, instruction: Instruction): number {
  return intercepted(cpu, instruction, 'RSM') ? INTERCEPTED : cpu.undefinedOpcode();
}

/** Everything happens in order anyway. */
function fence(): number {
  return STATUS.next;
}

export const MISC_MICROCODE: MicrocodeRoutines = {
  RSM: rsm,
  LFENCE: fence,
  MFENCE: fence,
  SFENCE: fence,
};
