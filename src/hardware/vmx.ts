// SPDX-License-Identifier: Apache-2.0
import type { VmxCapabilities } from '../arch/vmx/capabilities.ts';

/**
 * What one processor of a single-level VT-x PC offers to the software that owns it, when that software is not guest
 * code but a hypervisor written against this file (L0). It is in VMX root operation from the start.
 */

/** Address in the machine's own memory: where a VMCS, an EPT table or a bitmap of the owner lies. */
export type HostPhysical = number & { readonly __space?: 'host-physical' };

/** A 64-bit value as two 32-bit halves, unsigned. */
export interface Halves {
  low: number;
  high: number;
}

/** What the owner does after an exit: enter the guest of the current VMCS again, or leave the processor halted. */
export type ExitVerdict = 'enter' | 'halt';

/** The owner of a machine's root operation. */
export interface RootSoftware {
  /**
   * A VM exit happened on this processor; its information is in the current VMCS. Runs to completion, never awaits.
   * With `enter` the machine does VMLAUNCH or VMRESUME of whatever VMCS is then current: if that fails (a VMfail),
   * `entryFailed` is asked; a failed entry of the kind that exits (reason bit 31) comes back through `exit`.
   */
  exit(processor: RootProcessor): ExitVerdict;
  /** VMLAUNCH or VMRESUME failed with this VM-instruction error (0: VMfailInvalid, no current VMCS). Our own bug. */
  entryFailed(processor: RootProcessor, error: number): never;
  /** The processor was halted and `kick` was called, or it is asked for the first time: enter or stay halted. */
  kicked(processor: RootProcessor): ExitVerdict;
}

/** Registers of the guest that no VMCS field holds; they stay in the processor across exits. */
export type UnsavedRegister =
  | 'cr2'
  | 'dr0'
  | 'dr1'
  | 'dr2'
  | 'dr3'
  | 'dr6'
  | 'xcr0'
  | 'cr8'
  | 'kernelGsBase'
  | 'star'
  | 'lstar'
  | 'cstar'
  | 'fmask'
  | 'tscAux'
  | 'xss';

export interface RootProcessor {
  readonly index: number;
  readonly capabilities: VmxCapabilities;

  // --- VMCS. Fields are byte offsets from arch/vmx/fields.ts (OFFSET); 16- and 32-bit fields use the low half.
  vmclear(vmcs: HostPhysical): void;
  vmptrld(vmcs: HostPhysical): void;
  /** -1 when there is none. */
  readonly currentVmcs: HostPhysical;
  /** Of the current VMCS, unsigned. */
  readLow(offset: number): number;
  readHigh(offset: number): number;
  write(offset: number, low: number, high: number): void;

  // --- guest registers outside the VMCS
  /** General registers by encoding (RSP lives in the VMCS: number 4 is not valid here), unsigned halves. */
  readGeneral(register: number, out: Halves): void;
  writeGeneral(register: number, low: number, high: number): void;
  readRegister(register: UnsavedRegister, out: Halves): void;
  writeRegister(register: UnsavedRegister, low: number, high: number): void;

  // --- translations
  /** INVEPT: 1 single context, 2 all. See: SDM 31.3 INVEPT. */
  invept(type: 1 | 2, eptPointer: Halves): void;
  /** INVVPID: 0 individual address, 1 single context, 2 all, 3 single retaining globals. See: SDM 31.3 INVVPID. */
  invvpid(type: 0 | 1 | 2 | 3, vpid: number, linear: Halves): void;

  // --- time and events
  /** One instruction of the guest was completed by the owner: the clock advances as if the processor had done it. */
  retire(): void;
  /** The processor's TSC now, without any offset. */
  readTsc(out: Halves): void;
  /**
   * Ends non-root operation before the next instruction with an external-interrupt exit (no vector: the owner knows
   * why it asked); a halted processor is asked through `kicked`. Stays pending until one of the two happened. As an
   * interrupt it waits for the end of blocking by STI or by MOV SS, unless it is to come `atOnce`, as INIT does.
   */
  kick(atOnce?: boolean): void;
}

/** The machine's memory as its owner sees it, in host-physical addresses. */
export interface HostMemory {
  readonly bytes: number;
  read32(address: HostPhysical): number;
  write32(address: HostPhysical, value: number): void;
  /** Both go through the machine's one write path: translated code is dropped, dirty pages are noted. */
  read(address: HostPhysical, bytes: Uint8Array): void;
  write(address: HostPhysical, bytes: Uint8Array): void;
}

/** A single-level VT-x machine for its owner. */
export interface RootMachine {
  readonly processors: readonly RootProcessor[];
  readonly memory: HostMemory;
}
