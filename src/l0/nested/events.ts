// SPDX-License-Identifier: Apache-2.0
// Events while L2 runs: those that L1 gave it, those that an exit interrupted, and those for L1 itself.
//
// An event for L1 never turns into an exit by L0's decision alone. L0 asks the hardware for an exit before L2's next
// instruction (a kick), and when that comes, at the boundary and with the priority of an external interrupt, L1 gets
// its exit. So an event that L1 injects is delivered first, even if something for L1 was already waiting at its
// VMRESUME: the entry has happened before the exit does. See: paper.md 2.7; SDM 6.9, 26.2 Other Causes of VM Exits

import { EXIT, PIN, PRIMARY } from '../../arch/vmx/controls.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { compose } from '../../arch/vmx/bit-field.ts';
import { INTERRUPTION_TYPE, SIPI } from '../../arch/vmx/qualifications.ts';
import { ACTIVITY, BLOCKING_BY_NMI, RFLAGS_RF } from '../../arch/vmx/state-bits.ts';
import { injectException, injectInterruptedDelivery, protectedMode } from '../events.ts';
import { isSet, setBits, write32 } from '../vmcs-access.ts';
import { lendOnEntry } from './branch-steps.ts';
import { finishTprWrite } from './apic-access-page.ts';
import { exceptionExits } from './exit-conditions.ts';
import { exitInformation } from './exit-information.ts';
import type { ExitInformation } from './exit-information.ts';
import { leaveL2 } from './leave-l2.ts';
import type { NestedVcpu } from './nested-vcpu.ts';
import { continueTimer } from './preemption-timer.ts';
import { interceptInexactTsc } from './time-stamp-counter.ts';

const { PIN_BASED_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL, VM_EXIT_CONTROLS, VM_ENTRY_INTR_INFO_FIELD } = OFFSET;
const { GUEST_INTERRUPTIBILITY_INFO, GUEST_ACTIVITY_STATE, GUEST_PENDING_DBG_EXCEPTIONS, GUEST_RIP, GUEST_RSP } =
  OFFSET;

const VALID = 0x80000000;
const ERROR_CODE_VALID = 0x800;
const NMI_VECTOR = 2;
const NO_WINDOW = 0;
const DOUBLE_FAULT = 8;
const PAGE_FAULT = 14;
const NMI_INFORMATION = (VALID | (INTERRUPTION_TYPE.nmi << 8) | NMI_VECTOR) >>> 0;
const PENDING_MTF = (VALID | (INTERRUPTION_TYPE.otherEvent << 8)) >>> 0;

const pin12 = ({ vmcs12 }: NestedVcpu, mask: number): boolean => (vmcs12.low(PIN_BASED_VM_EXEC_CONTROL) & mask) !== 0;
const primary12 = ({ vmcs12 }: NestedVcpu, mask: number): boolean =>
  (vmcs12.low(CPU_BASED_VM_EXEC_CONTROL) & mask) !== 0;

/** Before an entry of L2. Afterwards L1 may be the one that is entered. */
export function prepareEntryOfL2(nested: NestedVcpu): void {
  const { vcpu } = nested;
  finishTprWrite(nested);
  if (vcpu.state.exceptionVector >= 0 && vcpu.state.vectoring === 0 && exceptionLeaves(nested)) return;
  const taken =
    injectInterruptedDelivery(vcpu) || injectRaised(nested) || entryInjects(nested) || injectPendingTrap(nested);
  askForEvents(nested, taken);
  continueTimer(nested);
  interceptInexactTsc(nested);
  lendOnEntry(nested);
  rememberInjection(nested);
}

/** An exception of L0's emulation. Like the processor's own it pushes RF as 1, which is not that of L2 before. */
function injectRaised({ vcpu, state }: NestedVcpu): boolean {
  state.resumeFlagAdded = 0;
  if (vcpu.state.exceptionVector < 0) return false;
  const before = vcpu.rflags;
  injectException(vcpu);
  state.resumeFlagAdded = (vcpu.rflags ^ before) & RFLAGS_RF;
  return true;
}

/**
 * The exit interrupted the delivery of what L0 has injected. If nothing was pushed, because of a double or triple fault that
 * exits, RFLAGS are saved as they were.
 */
export function withdrawResumeFlag({ vcpu, state }: NestedVcpu, { reason, interruption }: ExitInformation): void {
  if (state.resumeFlagAdded === 0) return;
  const doubleFault = reason === EXIT_REASON.EXCEPTION_NMI && (interruption & 0xff) === DOUBLE_FAULT;
  if (doubleFault || reason === EXIT_REASON.TRIPLE_FAULT) vcpu.rflags &= ~RFLAGS_RF;
}

/**
 * L1's own event. NMIs that vmcs12 has not made virtual may be injected while they are blocked; L2 runs with virtual ones,
 * which the entry wants open. The injection blocks them either way.
 */
function entryInjects({ vcpu: { processor } }: NestedVcpu): boolean {
  const information = processor.readLow(VM_ENTRY_INTR_INFO_FIELD);
  if ((information & VALID) === 0) return false;
  if (((information >>> 8) & 7) === INTERRUPTION_TYPE.nmi)
    setBits(processor, GUEST_INTERRUPTIBILITY_INFO, BLOCKING_BY_NMI, false);
  return true;
}

/**
 * L0's emulation of an instruction of L2 came to an exception: L1's bitmap is asked before it becomes anything else.
 * True: it was an exit to L1.
 */
function exceptionLeaves(nested: NestedVcpu): boolean {
  const { vcpu, vmcs12 } = nested;
  const { exceptionVector: vector, exceptionErrorCode, faultLow, faultHigh } = vcpu.state;
  const errorCode = protectedMode(vcpu) ? exceptionErrorCode : -1;
  if (!exceptionExits(vmcs12, vector, Math.max(0, errorCode))) return false;
  vcpu.state.exceptionVector = -1;
  // RFLAGS are saved as the delivery would have pushed them: with RF, but for the double fault, an abort.
  if (vector !== DOUBLE_FAULT) vcpu.rflags |= RFLAGS_RF;
  const interruption =
    (VALID | (errorCode >= 0 ? ERROR_CODE_VALID : 0) | (INTERRUPTION_TYPE.hardwareException << 8) | vector) >>> 0;
  const address = vector === PAGE_FAULT ? { qualificationLow: faultLow, qualificationHigh: faultHigh } : {};
  leaveL2(
    nested,
    exitInformation(EXIT_REASON.EXCEPTION_NMI, { interruption, errorCode: Math.max(0, errorCode), ...address }),
    false,
  );
  return true;
}

/**
 * With "monitor trap flag" L1 is owed an exit after the instruction that L0 has just completed for L2; the hardware
 * would make it one instruction later. See: SDM 27.6.2 Injection of Pending MTF VM Exits
 */
function injectPendingTrap(nested: NestedVcpu): boolean {
  const { vcpu, state } = nested;
  const due = state.completedForL2 !== 0 && primary12(nested, PRIMARY.MONITOR_TRAP_FLAG);
  state.completedForL2 = 0;
  if (due) write32(vcpu.processor, VM_ENTRY_INTR_INFO_FIELD, PENDING_MTF);
  return due;
}

/**
 * Kicks for events that make L2 exit. Those that are L2's own it gets when the hardware says by a window exit that nothing
 * comes before them: debug exceptions, the TPR threshold, the timer and windows of L1's do.
 */
function askForEvents(nested: NestedVcpu, taken: boolean): void {
  const { vcpu, state: own } = nested;
  const { processor, state, localApic } = vcpu;
  const window = taken ? NO_WINDOW : own.windowMet;
  own.windowMet = NO_WINDOW;
  let nmiWindow = primary12(nested, PRIMARY.NMI_WINDOW_EXITING);
  let interruptWindow = primary12(nested, PRIMARY.INTERRUPT_WINDOW_EXITING);
  let kick = false;
  if (state.pendingNmi !== 0) {
    if (pin12(nested, PIN.NMI_EXITING)) kick = nmiMayExit(nested);
    else if (window === EXIT_REASON.NMI_WINDOW) {
      state.pendingNmi = 0;
      write32(processor, VM_ENTRY_INTR_INFO_FIELD, NMI_INFORMATION);
    } else nmiWindow = true;
  }
  if (localApic.interruptPending()) {
    if (pin12(nested, PIN.EXTERNAL_INTERRUPT_EXITING)) kick ||= taken || interruptsMayExit(nested);
    else if (window === EXIT_REASON.INTERRUPT_WINDOW)
      write32(processor, VM_ENTRY_INTR_INFO_FIELD, VALID | localApic.acknowledge());
    else interruptWindow = true;
  }
  setBits(processor, CPU_BASED_VM_EXEC_CONTROL, PRIMARY.NMI_WINDOW_EXITING, nmiWindow);
  setBits(processor, CPU_BASED_VM_EXEC_CONTROL, PRIMARY.INTERRUPT_WINDOW_EXITING, interruptWindow);
  if (waitsForStartup(nested) ? state.pendingStartup >= 0 : state.pendingInit !== 0) processor.kick(true);
  else if (kick) processor.kick();
}

const activity02 = ({ vcpu }: NestedVcpu): number => vcpu.processor.readLow(GUEST_ACTIVITY_STATE);
const waitsForStartup = (nested: NestedVcpu): boolean => activity02(nested) === ACTIVITY.waitForSipi;

/**
 * Interrupts end HLT, but neither shutdown nor wait-for-SIPI; an event that the entry delivers has ended both. A shadow
 * holds the kick back as it does them.
 */
const interruptsMayExit = (nested: NestedVcpu): boolean => activity02(nested) <= ACTIVITY.hlt;

/** With NMI exiting, blocking by NMI holds NMIs back unless it is only of virtual NMIs. */
function nmiMayExit(nested: NestedVcpu): boolean {
  if (waitsForStartup(nested)) return false;
  return pin12(nested, PIN.VIRTUAL_NMIS) || !isSet(nested.vcpu.processor, GUEST_INTERRUPTIBILITY_INFO, BLOCKING_BY_NMI);
}

/**
 * L2 is between two instructions, and the hardware would take an external interrupt now. True: L1 got an exit. INIT
 * comes before NMIs, and these before interrupts.
 */
export function deliverToL1(nested: NestedVcpu): boolean {
  const { vcpu } = nested;
  const { state, localApic } = vcpu;
  if (waitsForStartup(nested)) return deliverStartup(nested);
  if (state.pendingInit !== 0) {
    state.pendingInit = 0;
    leaveL2(nested, exitInformation(EXIT_REASON.INIT_SIGNAL), false);
    return true;
  }
  if (state.pendingNmi !== 0 && pin12(nested, PIN.NMI_EXITING) && nmiMayExit(nested)) {
    state.pendingNmi = 0;
    leaveL2(nested, exitInformation(EXIT_REASON.EXCEPTION_NMI, { interruption: NMI_INFORMATION }), false);
    return true;
  }
  if (!pin12(nested, PIN.EXTERNAL_INTERRUPT_EXITING) || !localApic.interruptPending()) return false;
  if (!interruptsMayExit(nested)) return false;
  leaveL2(nested, exitInformation(EXIT_REASON.EXTERNAL_INTERRUPT, { interruption: acknowledged(nested) }), false);
  return true;
}

/** Wait-for-SIPI blocks all else, INIT too. See: SDM 27.7.2 Activity State */
function deliverStartup(nested: NestedVcpu): boolean {
  const { state } = nested.vcpu;
  if (state.pendingStartup < 0) return false;
  const qualificationLow = compose(SIPI, { VECTOR: state.pendingStartup });
  state.pendingStartup = -1;
  leaveL2(nested, exitInformation(EXIT_REASON.SIPI_SIGNAL, { qualificationLow }), false);
  return true;
}

/** With "acknowledge interrupt on exit" the local APIC gives its vector; without, the interrupt stays where it is. */
function acknowledged({ vcpu, vmcs12 }: NestedVcpu): number {
  if ((vmcs12.low(VM_EXIT_CONTROLS) & EXIT.ACKNOWLEDGE_INTERRUPT_ON_EXIT) === 0) return 0;
  return (VALID | (INTERRUPTION_TYPE.externalInterrupt << 8) | vcpu.localApic.acknowledge()) >>> 0;
}

/** L1's NMI comes before the interrupt window of L2, for which it has asked the hardware. */
export function precedesInterruptWindow(nested: NestedVcpu): boolean {
  const { state } = nested.vcpu;
  if (state.pendingInit === 0 && !(state.pendingNmi !== 0 && pin12(nested, PIN.NMI_EXITING) && nmiMayExit(nested)))
    return false;
  return deliverToL1(nested);
}

// --- what the clock owes: see Vcpu.count

/** The delivery of the injected event was interrupted and is tried again: what the exit changed is as at the entry. */
export function restoreInjection({ vcpu, state }: NestedVcpu): void {
  write32(vcpu.processor, GUEST_PENDING_DBG_EXCEPTIONS, state.pendingDebugAtEntry);
  // The exit saved RF as a fault's handler would find it; a triple fault saves what there was.
  vcpu.rflags = (vcpu.rflags & ~RFLAGS_RF) | state.resumeFlagAtEntry;
}

function rememberInjection({ vcpu, state }: NestedVcpu): void {
  const { processor } = vcpu;
  state.injected = processor.readLow(VM_ENTRY_INTR_INFO_FIELD);
  if ((state.injected & VALID) === 0) {
    state.injected = 0;
    return;
  }
  const now = { low: 0, high: 0 };
  processor.readTsc(now);
  state.injectedAtLow = now.low;
  state.injectedAtHigh = now.high;
  state.pendingDebugAtEntry = processor.readLow(GUEST_PENDING_DBG_EXCEPTIONS);
  state.resumeFlagAtEntry = vcpu.rflags & RFLAGS_RF;
  state.injectedRipLow = processor.readLow(GUEST_RIP);
  state.injectedRipHigh = processor.readHigh(GUEST_RIP);
  state.injectedRspLow = processor.readLow(GUEST_RSP);
  state.injectedRspHigh = processor.readHigh(GUEST_RSP);
}

/**
 * The exit interrupted the delivery of the event with which L2 was entered, or of an exception that came of it: no
 * instruction of L2 has begun, and L2 is where it was entered: there a handler may be, but not with the same stack pointer.
 */
export function interruptedInjection({ vcpu, state }: NestedVcpu): boolean {
  const { processor } = vcpu;
  const moved =
    processor.readLow(GUEST_RIP) !== state.injectedRipLow ||
    processor.readLow(GUEST_RSP) !== state.injectedRspLow ||
    processor.readHigh(GUEST_RIP) !== state.injectedRipHigh ||
    processor.readHigh(GUEST_RSP) !== state.injectedRspHigh;
  if (state.injected === 0 || moved) return false;
  const now = { low: 0, high: 0 };
  processor.readTsc(now);
  return now.low === state.injectedAtLow && now.high === state.injectedAtHigh;
}
