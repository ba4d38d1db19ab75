// SPDX-License-Identifier: Apache-2.0
import { endBranchSteps } from '../branch-steps.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { STATE } from '../state.ts';
import { deliverLong } from './deliver-long.ts';
import { deliverProtected } from './deliver-protected.ts';
import { deliverReal } from './deliver-real.ts';
import { ERROR_CODE, FROZEN, VECTOR, VM_EXIT_RECORDED, combine, isSoftware } from './exceptions.ts';
import type { Event } from './exceptions.ts';

export { VM_EXIT_RECORDED } from './exceptions.ts';

/**
 * `intercepted`: something takes the event's place: a VM exit, by the hook or recorded by a memory access of the
 * delivery, or the wait of a frozen instruction.
 */
export type Delivery = 'delivered' | 'intercepted' | 'shutdown';

/** What VMX hangs on a processor, and what it asks of it. */
export interface EventHooks {
  /**
   * Asked before an event is delivered, before it becomes a double fault, and for the double fault. True: it is a VM
   * exit instead. `during` is the event in whose delivery it came up. See: SDM 28.2 Other Causes of VM Exits.
   */
  interceptEvent?: (event: Event, during: Event | undefined) => boolean;
  /** The event whose delivery is under way, or failed with a fault that is recorded but not yet raised. */
  deliveringEvent?: Event | undefined;
  /** What the last triple fault began with, and the vector of the fault that could not be delivered: to explain it. */
  tripleFault?: { readonly first: number; readonly last: number };
}

export function eventHooks(cpu: Processor): EventHooks {
  return cpu as Processor & EventHooks;
}

/** The original event after `intercepted`, for the IDT-vectoring fields; it is then forgotten. */
export function takeDeliveringEvent(cpu: Processor): Event | undefined {
  const hooks = eventHooks(cpu);
  const event = hooks.deliveringEvent;
  hooks.deliveringEvent = undefined;
  return event;
}

const DOUBLE_FAULT: Event = { vector: VECTOR.DF, kind: 'fault', errorCode: 0 };

const BLOCKING_BY_STI_OR_MOV_SS = 3;
const BLOCKING_BY_NMI = 8;
const HALTED = 1;
/** DR7.GD: cleared by every #DB. */
const GENERAL_DETECT = 0x2000;
/** DR6.BS. */
export const SINGLE_STEP = 0x4000;

/**
 * Delivers an event at `cpu.rip`, and the faults that come up in doing so, until a handler is entered.
 * For a fault `cpu.rip` is the faulting instruction, for the other kinds the one to return to.
 */
export function deliver(cpu: Processor, event: Event): Delivery {
  return settle(cpu, event, undefined);
}

/** Delivers the fault recorded in the processor. `cpu.rip` is the faulting instruction. */
export function raiseException(cpu: Processor): Delivery {
  const during = takeDeliveringEvent(cpu);
  // The instruction did not complete; should it run again, it meets its breakpoints again.
  cpu.breakpoints.hits = 0;
  if (cpu.faultVector === VM_EXIT_RECORDED) {
    eventHooks(cpu).deliveringEvent = during;
    return 'intercepted';
  }
  if (cpu.faultVector === FROZEN) return freeze(cpu);
  return settle(cpu, recordedFault(cpu), during);
}

/** As HLT waits, but the interrupt returns to the instruction. */
function freeze(cpu: Processor): Delivery {
  cpu.faulted = false;
  cpu.environment.monitor.waiting = false;
  cpu.words[STATE.activity >> 2] = HALTED;
  return 'intercepted';
}

/**
 * After an instruction that began with RFLAGS.TF set (`SINGLE_STEP`), or met breakpoints (DR6.B0 to B3).
 * See: SDM 18.3.1.2 Data Memory and I/O Breakpoint Exception Conditions, 18.3.1.4 Single-Step Exception Condition.
 */
export function debugTrap(cpu: Processor, debugStatus: number): Delivery {
  return deliver(cpu, { vector: VECTOR.DB, kind: 'trap', errorCode: -1, debugStatus });
}

/** INT n, INT3, INTO, INT1: what the microcode routine returns. A fault leaves `deliveringEvent` for `raiseException`. */
export function softwareInterrupt(cpu: Processor, event: Event): number {
  cpu.trapSuppressed = true;
  const hooks = eventHooks(cpu);
  if (hooks.interceptEvent?.(event, undefined)) return STATUS.exit;
  return deliverOnce(cpu, event) ? STATUS.next : STATUS.fault;
}

function settle(cpu: Processor, first: Event, firstDuring: Event | undefined): Delivery {
  const hooks = eventHooks(cpu);
  let event = first;
  let during = firstDuring;
  for (;;) {
    if (hooks.interceptEvent?.(event, during)) return 'intercepted';
    const combined = during === undefined ? 'serial' : combine(during, event);
    if (combined === 'shutdown') {
      hooks.tripleFault = { first: (firstDuring ?? first).vector, last: event.vector };
      return 'shutdown';
    }
    if (combined === 'double') {
      noteFaultAddress(cpu, event);
      event = DOUBLE_FAULT;
      if (hooks.interceptEvent?.(event, undefined)) return 'intercepted';
    }
    if (deliverOnce(cpu, event)) return 'delivered';
    if (cpu.faultVector === VM_EXIT_RECORDED) return 'intercepted';
    during = takeDeliveringEvent(cpu);
    event = recordedFault(cpu);
  }
}

/** Takes the recorded fault, so that the next one can be recorded. */
function recordedFault(cpu: Processor): Event {
  cpu.faulted = false;
  const { faultVector: vector, faultErrorCode: errorCode } = cpu;
  if (vector === VECTOR.PF)
    return { vector, kind: 'fault', errorCode, linear: { low: cpu.faultLinearLow, high: cpu.faultLinearHigh } };
  if (vector === VECTOR.DB) return { vector, kind: 'fault', errorCode, debugStatus: cpu.faultDebugStatus };
  return { vector, kind: 'fault', errorCode };
}

/** One attempt. False: a fault was recorded, and nothing but debug registers and CR2 changed (or a task gate's task was entered). */
function deliverOnce(cpu: Processor, event: Event): boolean {
  const hooks = eventHooks(cpu);
  hooks.deliveringEvent = event;
  // Others are blocked also if the delivery fails or exits. See: SDM 28.1 Architectural State Before a VM Exit
  if (event.kind === 'nmi') cpu.words[STATE.interruptibility >> 2] |= BLOCKING_BY_NMI;
  noteFaultAddress(cpu, event);
  noteDebugStatus(cpu, event);
  if (cpu.realMode) deliverReal(cpu, event);
  else if (cpu.longMode) deliverLong(cpu, event);
  else deliverProtected(cpu, event);
  if (cpu.faulted) {
    if (!isSoftware(event) && cpu.faultErrorCode >= 0 && cpu.faultVector <= VECTOR.GP)
      cpu.faultErrorCode |= ERROR_CODE.external;
    return false;
  }
  hooks.deliveringEvent = undefined;
  // What a MOV SS held back does not outlast a fault.
  if (event.kind === 'fault') cpu.breakpoints.forgetHeld();
  entered(cpu);
  return true;
}

/** CR2 is written even when the page fault turns into a double fault. */
function noteFaultAddress(cpu: Processor, event: Event): void {
  if (event.linear === undefined) return;
  cpu.words[STATE.cr2 >> 2] = event.linear.low;
  cpu.words[(STATE.cr2 >> 2) + 1] = event.linear.high;
}

function noteDebugStatus(cpu: Processor, event: Event): void {
  if (event.debugStatus === undefined) return;
  cpu.words[STATE.dr6 >> 2] |= event.debugStatus;
  cpu.words[STATE.dr7 >> 2] &= ~GENERAL_DETECT;
  endBranchSteps(cpu);
}

/** The handler is entered: the processor is active, shadows end. */
function entered(cpu: Processor): void {
  const { words } = cpu;
  words[STATE.interruptibility >> 2] &= ~BLOCKING_BY_STI_OR_MOV_SS;
  words[STATE.activity >> 2] = 0;
}
