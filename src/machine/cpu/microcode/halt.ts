// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { STATE } from '../state.ts';
import { INTERCEPTED, PASSING, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';

const HALTED = 1;

function halt(cpu: Processor, instruction: Instruction): number {
  if (intercepted(cpu, instruction, 'HLT')) return INTERCEPTED;
  cpu.environment.monitor.waiting = false;
  cpu.words[STATE.activity >> 2] = HALTED;
  return STATUS.exit;
}

function pause(cpu: Processor, instruction: Instruction): number {
  if ((cpu.passing & PASSING.PAUSE) !== 0) return STATUS.next;
  return intercepted(cpu, instruction, 'PAUSE') ? INTERCEPTED : STATUS.next;
}

export const HALT_MICROCODE: MicrocodeRoutines = { HLT: halt, PAUSE: pause };
