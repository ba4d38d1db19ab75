// SPDX-License-Identifier: Apache-2.0
// On the bare machine an instruction that exits has been counted by the clock; under L0 the machine leaves that to its
// owner. L0 counts exits of class `instruction` as they come; whether others were made by an instruction is told here,
// once it is clear that L1 gets the exit and L2 does not simply try again. See `Vcpu.count`.

import { extract } from '../../arch/vmx/bit-field.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { DEBUG_EXCEPTION, INTERRUPTION_INFORMATION, INTERRUPTION_TYPE } from '../../arch/vmx/qualifications.ts';
import type { ExitInformation } from './exit-information.ts';

const VALID = 0x80000000;
const DEBUG_VECTOR = 1;

/** Interrupts, NMIs and debug traps come between instructions; all else is an instruction's. */
function byInstruction(information: number, exit: ExitInformation, isCause: boolean): boolean {
  const type = extract(INTERRUPTION_INFORMATION.TYPE, information);
  if (type === INTERRUPTION_TYPE.externalInterrupt || type === INTERRUPTION_TYPE.nmi) return false;
  if (
    type !== INTERRUPTION_TYPE.hardwareException ||
    extract(INTERRUPTION_INFORMATION.VECTOR, information) !== DEBUG_VECTOR
  )
    return true;
  // Of debug exceptions only the access to a debug register is a fault of an instruction that was begun.
  return isCause && extract(DEBUG_EXCEPTION.BD, exit.qualificationLow) === 1;
}

/**
 * Whether the clock is to count an instruction for this exit, which is L1's and not of class `instruction`. What comes of
 * the delivery of an injected event is no instruction's, whatever exceptions that led to.
 */
export function countsInstruction(exit: ExitInformation, interruptedInjection: boolean): boolean {
  if (interruptedInjection) return false;
  const vectoring = (exit.vectoring & VALID) !== 0;
  // prettier-ignore
  switch (exit.reason) {
    case EXIT_REASON.TRIPLE_FAULT: return !interruptedInjection;
    case EXIT_REASON.EXCEPTION_NMI: return vectoring ? !interruptedInjection && byInstruction(exit.vectoring, exit, false) : byInstruction(exit.interruption, exit, true);
    case EXIT_REASON.TASK_SWITCH:
    case EXIT_REASON.EPT_VIOLATION:
    case EXIT_REASON.EPT_MISCONFIG:
    case EXIT_REASON.APIC_ACCESS: return vectoring ? byInstruction(exit.vectoring, exit, false) : true;
    default: return false;
  }
}
