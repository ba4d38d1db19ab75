// SPDX-License-Identifier: Apache-2.0
// What a VM exit tells L1, when L0 makes the exit: the fields that the processor would have written, and no others.
// See: SDM 28.2 Recording VM-Exit Information and Updating VM-Entry Control Fields

import { OFFSET } from '../../arch/vmx/fields.ts';
import type { RegionView, VmcsView } from '../../arch/vmx/vmcs-view.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { CR_ACCESS_TYPE } from '../../arch/vmx/qualifications.ts';

const { VM_EXIT_REASON, EXIT_QUALIFICATION, VM_EXIT_INTR_INFO, VM_EXIT_INTR_ERROR_CODE } = OFFSET;
const { IDT_VECTORING_INFO_FIELD, IDT_VECTORING_ERROR_CODE, VM_EXIT_INSTRUCTION_LEN, VMX_INSTRUCTION_INFO } = OFFSET;
const { GUEST_LINEAR_ADDRESS, GUEST_PHYSICAL_ADDRESS } = OFFSET;

const ERROR_CODE_VALID = 0x800;
const EPT_LINEAR_VALID = 1 << 7;
const IO_STRING = 1 << 4;
const LMSW_FROM_MEMORY = 1 << 6;

/** Everything unsigned; what an exit does not have is 0. */
export interface ExitInformation {
  reason: number;
  qualificationLow: number;
  qualificationHigh: number;
  interruption: number;
  errorCode: number;
  vectoring: number;
  vectoringErrorCode: number;
  instructionLength: number;
  instructionInformation: number;
}

/** An exit that L0 makes up. */
export function exitInformation(reason: number, rest: Partial<ExitInformation> = {}): ExitInformation {
  return {
    ...{ reason, qualificationLow: 0, qualificationHigh: 0, interruption: 0, errorCode: 0 },
    ...{ vectoring: 0, vectoringErrorCode: 0, instructionLength: 0, instructionInformation: 0 },
    ...rest,
  };
}

/** The hardware's exit, from the current VMCS. */
export function hardwareExit(view: VmcsView): ExitInformation {
  return {
    reason: view.low(VM_EXIT_REASON),
    qualificationLow: view.low(EXIT_QUALIFICATION),
    qualificationHigh: view.high(EXIT_QUALIFICATION),
    interruption: view.low(VM_EXIT_INTR_INFO),
    errorCode: view.low(VM_EXIT_INTR_ERROR_CODE),
    vectoring: view.low(IDT_VECTORING_INFO_FIELD),
    vectoringErrorCode: view.low(IDT_VECTORING_ERROR_CODE),
    instructionLength: view.low(VM_EXIT_INSTRUCTION_LEN),
    instructionInformation: view.low(VMX_INSTRUCTION_INFO),
  };
}

/** Writes it where L1 reads it. Error codes, and the addresses, are written only where the exit has them. */
export function recordExit(to: RegionView, exit: ExitInformation): void {
  to.write(VM_EXIT_REASON, exit.reason, 0);
  to.write(EXIT_QUALIFICATION, exit.qualificationLow, exit.qualificationHigh);
  to.write(VM_EXIT_INTR_INFO, exit.interruption, 0);
  if (exit.interruption & ERROR_CODE_VALID) to.write(VM_EXIT_INTR_ERROR_CODE, exit.errorCode, 0);
  to.write(IDT_VECTORING_INFO_FIELD, exit.vectoring, 0);
  if (exit.vectoring & ERROR_CODE_VALID) to.write(IDT_VECTORING_ERROR_CODE, exit.vectoringErrorCode, 0);
  to.write(VM_EXIT_INSTRUCTION_LEN, exit.instructionLength, 0);
  to.write(VMX_INSTRUCTION_INFO, exit.instructionInformation, 0);
}

/** Copies the addresses that an exit of the hardware came with. */
export function recordAddresses(to: RegionView, exit: ExitInformation, hardware: VmcsView): void {
  if (hasLinearAddress(exit))
    to.write(GUEST_LINEAR_ADDRESS, hardware.low(GUEST_LINEAR_ADDRESS), hardware.high(GUEST_LINEAR_ADDRESS));
  if (exit.reason === EXIT_REASON.EPT_VIOLATION || exit.reason === EXIT_REASON.EPT_MISCONFIG) {
    to.write(GUEST_PHYSICAL_ADDRESS, hardware.low(GUEST_PHYSICAL_ADDRESS), hardware.high(GUEST_PHYSICAL_ADDRESS));
  }
}

function hasLinearAddress({ reason, qualificationLow }: ExitInformation): boolean {
  if (reason === EXIT_REASON.EPT_VIOLATION) return (qualificationLow & EPT_LINEAR_VALID) !== 0;
  if (reason === EXIT_REASON.IO_INSTRUCTION) return (qualificationLow & IO_STRING) !== 0;
  return (
    reason === EXIT_REASON.CR_ACCESS &&
    ((qualificationLow >>> 4) & 3) === CR_ACCESS_TYPE.lmsw &&
    (qualificationLow & LMSW_FROM_MEMORY) !== 0
  );
}

/** A failed entry tells the reason and the qualification only. See: SDM 27.8 VM-Entry Failures During or After Loading Guest State */
export function recordFailedEntry(to: RegionView, reason: number, qualification: number): void {
  to.write(VM_EXIT_REASON, reason, 0);
  to.write(EXIT_QUALIFICATION, qualification, 0);
}
