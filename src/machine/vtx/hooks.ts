// SPDX-License-Identifier: Apache-2.0
// What the run loop and the event source of a processor ask of VMX, beside what microcode does (`VmxHooks`).

import type { Event } from '../cpu/microcode/exceptions.ts';
import type { Delivery } from '../cpu/microcode/interrupt-delivery.ts';

/** The events that wait outside a processor, and their delivery through the guest's own IDT. */
export interface EventPorts {
  pendingInit: boolean;
  pendingNmi: boolean;
  /** Vector of a start-up IPI that came in the wait-for-SIPI state, or -1. */
  pendingStartup: number;
  /** The local APIC (or an ExtINT line) has an interrupt for this processor; RFLAGS.IF does not matter. */
  interruptWaits(): boolean;
  /** Takes it: its vector. */
  acknowledge(): number;
  /** Delivers an event to the guest; settles what comes of it. */
  deliverEvent(event: Event): void;
}

/** What may be done with an NMI now. */
export type NmiOutcome = 'deliver' | 'exit' | 'blocked';

/** Implemented by VmxUnit. All of it may be called in root operation and outside VMX operation. */
export interface VmxRunHooks {
  readonly nonRoot: boolean;
  /** Non-root operation, or root mode owned by TypeScript software: `beforeInstruction` and `wakes` decide. */
  readonly governs: boolean;
  /** VMX root operation: INIT stays pending until VMXOFF or a VM entry. */
  readonly blocksInit: boolean;
  /** If `governs`: something waits for IF that no event source knows of. */
  readonly waits: boolean;
  /**
   * If `governs`, before each instruction while ATTENTION.interrupt or ATTENTION.vmx is set, in place of the
   * run loop's own delivery of INIT, NMIs and interrupts: makes the VM exit, or delivers the event, that comes first.
   * True when it did: look again. False: run the next instruction.
   */
  beforeInstruction(events: EventPorts): boolean;
  /** After a single step: what of ATTENTION must be set again. */
  attention(): number;
  /** If `governs`, and in an inactive activity state, which it must not end by itself: whether `beforeInstruction` would do something. */
  wakes(events: EventPorts): boolean;
  /** The tick at which the VMX-preemption timer expires, or Infinity: the run must stop there and set ATTENTION.vmx. */
  deadline(): number;
  /**
   * What a delivery came to, as an engine's status: makes the exit that an access recorded, or turns a shutdown in
   * non-root operation into an exit. In root operation a shutdown is the caller's.
   */
  settle(delivery: Delivery): number;
  /** In non-root operation: a debug trap with these DR6 bits comes before the next instruction, as `beforeInstruction` ranks it. */
  pendDebugException(debugStatus: number): void;
  /** RESET. */
  reset(): void;
}
