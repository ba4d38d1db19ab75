// SPDX-License-Identifier: Apache-2.0
// Which event L1 takes at the next entry, and what exit tells L0 when it can take the others.
// See: SDM 27.6 Event Injection, 6.9 Priority Among Simultaneous Exceptions and Interrupts.

import { PRIMARY } from '../arch/vmx/controls.ts';
import { OFFSET } from '../arch/vmx/fields.ts';
import { INTERRUPTION_TYPE } from '../arch/vmx/qualifications.ts';
import {
  BLOCKING_BY_MOV_SS,
  BLOCKING_BY_NMI,
  BLOCKING_BY_STI,
  CR0_PE,
  RFLAGS_IF,
  RFLAGS_RF,
} from '../arch/vmx/state-bits.ts';
import type { Vcpu } from './vcpu.ts';
import { isSet, setBits, write32 } from './vmcs-access.ts';

const { VM_ENTRY_INTR_INFO_FIELD, VM_ENTRY_EXCEPTION_ERROR_CODE, VM_ENTRY_INSTRUCTION_LEN } = OFFSET;
const { CPU_BASED_VM_EXEC_CONTROL, GUEST_INTERRUPTIBILITY_INFO, GUEST_PENDING_DBG_EXCEPTIONS, GUEST_CR0 } = OFFSET;

const VALID = 0x80000000;
const ERROR_CODE_VALID = 1 << 11;
const NMI_VECTOR = 2;
const DOUBLE_FAULT = 8;
const PAGE_FAULT = 14;

/** Whether the guest that runs would take an interrupt now. */
export function interruptsOpen(vcpu: Vcpu): boolean {
  return (
    (vcpu.rflags & RFLAGS_IF) !== 0 &&
    !isSet(vcpu.processor, GUEST_INTERRUPTIBILITY_INFO, BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)
  );
}

/** Whether the guest that runs would take an NMI now. */
export function nmiOpen(vcpu: Vcpu): boolean {
  return !isSet(vcpu.processor, GUEST_INTERRUPTIBILITY_INFO, BLOCKING_BY_NMI | BLOCKING_BY_STI | BLOCKING_BY_MOV_SS);
}

/** Whether exceptions have error codes: by CR0 as it is, whatever a hypervisor in L1 shows its guest. */
export const protectedMode = ({ processor }: Vcpu): boolean => isSet(processor, GUEST_CR0, CR0_PE);

/** Whether something ends HLT now. */
export function wakesHalted(vcpu: Vcpu): boolean {
  const { state } = vcpu;
  if (state.pendingInit !== 0 || (state.pendingNmi !== 0 && nmiOpen(vcpu))) return true;
  return (vcpu.rflags & RFLAGS_IF) !== 0 && vcpu.localApic.interruptPending();
}

/** A debug exception comes before other events, and an injected event would take its place. */
const PENDING_TRAP = (1 << 14) | (1 << 12);

/** Before an entry of L1: puts the most urgent event into the VM-entry fields, and asks for windows for the rest. */
export function injectEvents(vcpu: Vcpu): void {
  const { processor, state, localApic } = vcpu;
  let free = !injectInterruptedDelivery(vcpu) && !injectException(vcpu);
  free &&= !isSet(processor, GUEST_PENDING_DBG_EXCEPTIONS, PENDING_TRAP);
  if (free && state.pendingNmi !== 0 && nmiOpen(vcpu)) {
    state.pendingNmi = 0;
    inject(vcpu, INTERRUPTION_TYPE.nmi, NMI_VECTOR);
    free = false;
  }
  if (free && localApic.interruptPending() && interruptsOpen(vcpu)) injectInterrupt(vcpu);
  setBits(processor, CPU_BASED_VM_EXEC_CONTROL, PRIMARY.NMI_WINDOW_EXITING, state.pendingNmi !== 0);
  setBits(processor, CPU_BASED_VM_EXEC_CONTROL, PRIMARY.INTERRUPT_WINDOW_EXITING, localApic.interruptPending());
}

function inject(vcpu: Vcpu, type: number, vector: number, errorCode = -1): void {
  const { processor } = vcpu;
  write32(processor, VM_ENTRY_INTR_INFO_FIELD, VALID | (errorCode >= 0 ? ERROR_CODE_VALID : 0) | (type << 8) | vector);
  if (errorCode >= 0) write32(processor, VM_ENTRY_EXCEPTION_ERROR_CODE, errorCode);
}

function injectInterrupt(vcpu: Vcpu): void {
  const vector = vcpu.localApic.acknowledge();
  inject(vcpu, INTERRUPTION_TYPE.externalInterrupt, vector);
  const { recorder, time } = vcpu.machine;
  if (recorder.tracing)
    recorder.event('kvm_inj_virq', 0, vcpu.index, time.nanoseconds(), { vec: vector, soft: false, reinjected: false });
}

/** True when the entry repeats a delivery that the last exit interrupted. */
export function injectInterruptedDelivery(vcpu: Vcpu): boolean {
  const { processor, state } = vcpu;
  if (state.vectoring === 0) return false;
  // Bit 12 is undefined in the IDT-vectoring information and reserved here.
  write32(processor, VM_ENTRY_INTR_INFO_FIELD, state.vectoring & ~0x1000);
  write32(processor, VM_ENTRY_EXCEPTION_ERROR_CODE, state.vectoringErrorCode);
  write32(processor, VM_ENTRY_INSTRUCTION_LEN, state.vectoringLength);
  // An NMI blocked others from the moment its delivery began; the entry checks that it is open.
  if (((state.vectoring >> 8) & 7) === INTERRUPTION_TYPE.nmi)
    setBits(processor, GUEST_INTERRUPTIBILITY_INFO, BLOCKING_BY_NMI, false);
  state.vectoring = 0;
  return true;
}

/** True when the entry delivers an exception that L0's emulation raised. */
export function injectException(vcpu: Vcpu): boolean {
  const { processor, state } = vcpu;
  const { exceptionVector: vector, exceptionErrorCode } = state;
  if (vector < 0) return false;
  state.exceptionVector = -1;
  if (vector === PAGE_FAULT) processor.writeRegister('cr2', state.faultLow, state.faultHigh);
  // In real-address mode no exception has an error code; faults push RF = 1, and a double fault is none.
  inject(vcpu, INTERRUPTION_TYPE.hardwareException, vector, protectedMode(vcpu) ? exceptionErrorCode : -1);
  if (vector !== DOUBLE_FAULT) vcpu.rflags = vcpu.rflags | RFLAGS_RF;
  return true;
}
