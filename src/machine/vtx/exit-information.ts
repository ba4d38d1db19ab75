// SPDX-License-Identifier: Apache-2.0
import { OFFSET } from '../../arch/vmx/fields.ts';
import { INTERRUPTION_TYPE } from '../../arch/vmx/qualifications.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Event, EventKind } from '../cpu/microcode/exceptions.ts';
import type { Vmcs } from './vmcs.ts';

const { VM_EXIT_REASON, EXIT_QUALIFICATION, VM_EXIT_INTR_INFO, VM_EXIT_INTR_ERROR_CODE } = OFFSET;
const { IDT_VECTORING_INFO_FIELD, IDT_VECTORING_ERROR_CODE, VM_EXIT_INSTRUCTION_LEN, VMX_INSTRUCTION_INFO } = OFFSET;
const { GUEST_LINEAR_ADDRESS, GUEST_PHYSICAL_ADDRESS } = OFFSET;

const VALID = 0x80000000;
const ERROR_CODE_VALID = 0x800;

// prettier-ignore
const TYPE_OF: { readonly [Kind in EventKind]: number } = {
  external:           INTERRUPTION_TYPE.externalInterrupt,
  nmi:                INTERRUPTION_TYPE.nmi,
  fault:              INTERRUPTION_TYPE.hardwareException,
  trap:               INTERRUPTION_TYPE.hardwareException,
  software:           INTERRUPTION_TYPE.softwareInterrupt,
  privilegedSoftware: INTERRUPTION_TYPE.privilegedSoftwareException,
  softwareException:  INTERRUPTION_TYPE.softwareException,
};

/** An event as the interruption-information and IDT-vectoring fields have it. */
export function interruptionInformation(event: Event): number {
  return (VALID | (event.errorCode >= 0 ? ERROR_CODE_VALID : 0) | (TYPE_OF[event.kind] << 8) | event.vector) >>> 0;
}

/**
 * What a VM exit tells, put together before the exit is made. One object per processor: `begin`, set what the reason
 * defines, then let the exit write it.
 */
export class ExitInformation {
  /** Made, but not yet carried out. */
  pending = false;
  reason = 0;
  qualificationLow = 0;
  qualificationHigh = 0;
  interruption = 0;
  errorCode = 0;
  vectoring = 0;
  vectoringErrorCode = 0;
  instructionLength = 0;
  instructionInformation = 0;
  hasLinear = false;
  linearLow = 0;
  linearHigh = 0;
  /** -1: none. */
  physical: PhysicalAddress = -1;
  /** RFLAGS.RF to be saved: -1 as it is. */
  resumeFlag = -1;
  /** Pending debug exceptions are saved as such. */
  keepsPending = false;

  begin(reason: number): this {
    this.pending = true;
    this.reason = reason;
    this.qualificationLow = this.qualificationHigh = 0;
    this.interruption = this.errorCode = 0;
    this.vectoring = this.vectoringErrorCode = 0;
    this.instructionLength = this.instructionInformation = 0;
    this.hasLinear = false;
    this.physical = -1;
    this.resumeFlag = -1;
    this.keepsPending = false;
    return this;
  }

  qualify(low: number, high = 0): this {
    this.qualificationLow = low;
    this.qualificationHigh = high;
    return this;
  }
  /** A linear address, as a signed Number. */
  atLinear(address: number): this {
    this.hasLinear = true;
    this.linearLow = address | 0;
    this.linearHigh = Math.floor(address / 0x100000000);
    return this;
  }
  /** The event that is the exit's cause. */
  interruptedBy(event: Event): this {
    this.interruption = interruptionInformation(event);
    this.errorCode = Math.max(0, event.errorCode);
    return this;
  }
  /** The event in whose delivery the exit came up. */
  delivering(event: Event): this {
    this.vectoring = interruptionInformation(event);
    this.vectoringErrorCode = Math.max(0, event.errorCode);
    if (event.instructionLength !== undefined) this.instructionLength = event.instructionLength;
    return this;
  }

  /** In real-address mode no exception has an error code. See: SDM 28.2.2 Information for VM Exits Due to Vectored Events */
  leaveOutErrorCodes(): this {
    this.interruption = (this.interruption & ~ERROR_CODE_VALID) >>> 0;
    this.vectoring = (this.vectoring & ~ERROR_CODE_VALID) >>> 0;
    return this;
  }

  /** See: SDM 28.2 Recording VM-Exit Information and Updating VM-Entry Control Fields */
  write(vmcs: Vmcs): void {
    vmcs.set(VM_EXIT_REASON, this.reason);
    vmcs.write(EXIT_QUALIFICATION, this.qualificationLow, this.qualificationHigh);
    vmcs.set(VM_EXIT_INTR_INFO, this.interruption);
    if (this.interruption & ERROR_CODE_VALID) vmcs.set(VM_EXIT_INTR_ERROR_CODE, this.errorCode);
    vmcs.set(IDT_VECTORING_INFO_FIELD, this.vectoring);
    if (this.vectoring & ERROR_CODE_VALID) vmcs.set(IDT_VECTORING_ERROR_CODE, this.vectoringErrorCode);
    vmcs.set(VM_EXIT_INSTRUCTION_LEN, this.instructionLength);
    vmcs.set(VMX_INSTRUCTION_INFO, this.instructionInformation);
    if (this.hasLinear) vmcs.write(GUEST_LINEAR_ADDRESS, this.linearLow, this.linearHigh);
    if (this.physical >= 0) vmcs.setSigned(GUEST_PHYSICAL_ADDRESS, this.physical);
  }
}
