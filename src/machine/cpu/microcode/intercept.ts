// SPDX-License-Identifier: Apache-2.0
import type { InstructionExit } from '../../../arch/instructions/row.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import type { InterceptDetails } from '../environment.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { TIME_DIRECT } from '../timing.ts';
import { STATE } from '../state.ts';

/** What a routine returns after `intercepted` said yes: the exit has been made, RIP is the host's. */
export const INTERCEPTED = STATUS.exit;

const NO_DETAILS: InterceptDetails = {};

/**
 * Instructions of which guests execute millions: their bits in `cpu.passing`. VM entry sets those that cannot exit under
 * its controls, so that nobody need be asked each time.
 */
export const PASSING = {
  RDTSC: TIME_DIRECT.rdtsc,
  RDTSCP: TIME_DIRECT.rdtscp,
  PAUSE: TIME_DIRECT.pause,
} as const satisfies {
  readonly [Exit in InstructionExit]?: number;
};

/** Whether the instruction causes a VM exit, which is then made. See: SDM 26.1.3 Instructions That Cause VM Exits Conditionally. */
export function intercepted(
  cpu: Processor,
  instruction: Instruction,
  exit: InstructionExit,
  details = NO_DETAILS,
): boolean {
  if (cpu.words[STATE.nonRoot >> 2] === 0) return false;
  return cpu.environment.vmx?.intercept(cpu, instruction, exit, details) ?? false;
}
