// SPDX-License-Identifier: Apache-2.0
import type { PhysicalAddress } from '../../hardware/memory.ts';
import { NO_VMCS } from './vmcs.ts';

/** When the next monitor-trap-flag exit is due. See: SDM 26.5.2 Monitor Trap Flag */
export const MTF = {
  none: 0,
  /** After the next instruction, or the delivery of the next event. */
  afterNext: 1,
  /** Now, before the next instruction. */
  now: 2,
} as const;

/** What VMX adds to a processor's state: plain fields, saved and restored whole. */
export interface VmxState {
  /** In VMX operation. */
  vmxOperation: boolean;
  vmxonPointer: PhysicalAddress;
  /** NO_VMCS when there is none. */
  currentVmcs: PhysicalAddress;
  /** Groups of entry checks that must be made again, see `groupsWritten`. */
  dirtyGroups: number;
  nonRoot: boolean;
  monitorTrap: number;
  /** The tick at which the VMX-preemption timer reaches 0; Infinity when it does not run. */
  preemptionDeadline: number;
  /** A bit for each pending debug exception, as in the guest-state field. */
  pendingDebugExceptions: number;
  /** A VM exit "TPR below threshold" is due before the next instruction. */
  tprBelowThreshold: boolean;
  /** VTPR was written through the APIC-access page: bits 31:8 are to be cleared, and the threshold compared. */
  tprWritten: boolean;
  /** The owner of root operation wants to be asked before the next instruction. */
  kicked: boolean;
  /** ... even in the shadow of STI or MOV SS. */
  kickedAtOnce: boolean;
  /** Set by a VMX abort: the processor is in shutdown until RESET. */
  aborted: boolean;
}

export function initialVmxState(): VmxState {
  return {
    vmxOperation: false,
    vmxonPointer: NO_VMCS,
    currentVmcs: NO_VMCS,
    dirtyGroups: -1,
    nonRoot: false,
    monitorTrap: MTF.none,
    preemptionDeadline: Infinity,
    pendingDebugExceptions: 0,
    tprBelowThreshold: false,
    tprWritten: false,
    kicked: false,
    kickedAtOnce: false,
    aborted: false,
  };
}

/** DR6 bits among the pending debug exceptions; bit 12 says that one of B0 to B3 was enabled. */
export const PENDING = { breakpoints: 0xf, enabled: 1 << 12, singleStep: 1 << 14 } as const;

/** DR6 bits as the pending debug exceptions of the VMCS have them. */
export function pendingOf(debugStatus: number): number {
  return debugStatus & PENDING.breakpoints ? debugStatus | PENDING.enabled : debugStatus;
}
