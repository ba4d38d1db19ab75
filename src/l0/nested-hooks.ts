// SPDX-License-Identifier: Apache-2.0
import type { PhysicalAddress } from '../hardware/memory.ts';
import type { Halves, HostMemory } from '../hardware/vmx.ts';
import type { TimerService } from '../hardware/time.ts';
import type { Recorder } from '../trace/recorder.ts';
import type { HostAllocator } from './host-allocator.ts';
import type { Vcpu } from './vcpu.ts';
import type { VirtualMachine } from './virtual-machine.ts';

/** What nested VMX gets of L0. */
export interface NestedHost {
  readonly memory: HostMemory;
  /** Pages outside every L1's memory: vmcs02, EPT02, bitmaps. */
  readonly allocator: HostAllocator;
  readonly l1: VirtualMachine;
  readonly vcpus: readonly Vcpu[];
  readonly time: TimerService;
  readonly recorder: Recorder;
}

/** An access of L2 to its physical memory that exits: EPT12 does not permit it, or it is one to the APIC-access page. */
export interface ForbiddenAccess {
  /** L2-physical. */
  readonly address: PhysicalAddress;
  /** Permissions that it needs, as bits 2:0 of the exit qualification. */
  readonly needed: number;
  /** L2-virtual, a signed Number. */
  readonly linear: number;
  /** To a paging structure on the way to `linear`. */
  readonly structure: boolean;
}

/**
 * What VMX for L1 adds to L0. Without it L1's CPUID shows no VMX. While a virtual CPU runs L2, `vcpu.state.level` is 2
 * and vmcs02 is the current VMCS; both are set and restored behind this interface.
 */
export interface NestedHooks {
  /** RDMSR of a VMX capability MSR (480H..493H); undefined: it does not exist, #GP. */
  readCapability(index: number): Halves | undefined;
  /** Whether L1 may write this to CR0 or CR4 (bits 31:0) as far as VMX operation is concerned; false: #GP. */
  allowsControl(vcpu: Vcpu, register: 0 | 4, value: number): boolean;
  /** L1 is in VMX root operation: an INIT stays pending. */
  blocksInit(vcpu: Vcpu): boolean;
  /**
   * L1 executed a VMX instruction (VMCALL and VMFUNC included). Completes it: `vcpu.completeInstruction()`, an
   * exception by `vcpu.raise`, or a switch to L2.
   */
  vmxInstruction(vcpu: Vcpu, reason: number): void;
  /**
   * L2 exited. True: dealt with, by an exit to L1 or by going on with L2. False: L0's ordinary handler serves it on
   * behalf of L2; an exception that comes of it waits in `vcpu.state` until `beforeEntry`. `reason` has its flags.
   * Exits of class `instruction` have been counted; of the others, `vcpu.count()` is to be called for exceptions, and
   * for EPT violations and APIC accesses of an instruction that go to L1.
   */
  handlesExit(vcpu: Vcpu, reason: number): boolean;
  /**
   * Before each entry while `level` is 2, instead of L1's own events: an exception of emulation, events for L1 that
   * make L2 exit, the windows. Afterwards `level` may be 1.
   */
  beforeEntry(vcpu: Vcpu): void;
  /** While `level` is 2 and the virtual CPU is halted: whether L2 has been woken otherwise than by an event for L1. */
  wakes(vcpu: Vcpu): boolean;
  /** L2's delivery of an event reached what is no memory: a double fault, or L1 gets an exit by a triple fault. */
  undeliverable(vcpu: Vcpu): void;
  /**
   * L1-physical address behind a physical address of the guest that runs: at level 2 through EPT12, as an access that
   * needs these permissions (1 read, 2 write, 4 execute) would find it; -1: the access exits. `structure`: it is one to the
   * guest's paging structures.
   */
  toL1Physical(vcpu: Vcpu, address: PhysicalAddress, needed: number, structure: boolean): PhysicalAddress;
  /** L0 emulates an instruction of L2, and an access of it exits: L2 leaves to L1. Afterwards `level` is 1. */
  leaveByAccess(vcpu: Vcpu, access: ForbiddenAccess): void;
  /** L1 changed its time-stamp counter while `level` is 2. */
  tscOffsetChanged(vcpu: Vcpu): void;
  /** Power-up or INIT of the virtual CPU: outside VMX operation. */
  reset(vcpu: Vcpu): void;
}
