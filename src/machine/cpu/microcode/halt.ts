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

/** Spinning guests execute millions, also under "PAUSE-loop exiting". */
function pause(cpu: Processor, instruction: Instruction): number {
  if ((cpu.passing & PASSING.PAUSE) !== 0 || cpu.words[STATE.nonRoot >> 2] === 0) return STATUS.next;
  if (cpu.environment.vmx?.pauseExits(cpu) !== true) return STATUS.next;
  return intercepted(cpu, instruction, 'PAUSE') ? INTERCEPTED : STATUS.next;
}

export const HALT_MICROCODE: MicrocodeRoutines = { HLT: halt, PAUSE: pause };
