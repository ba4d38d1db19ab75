// SPDX-License-Identifier: Apache-2.0

import type { PhysicalAddress } from '../hardware/memory.ts';
import type { MemoryRegion } from './e820.ts';

/** Bytes the machine copies into memory that is otherwise zero. Later writes never overlap earlier ones. */
export interface MemoryWrite {
  readonly address: PhysicalAddress;
  readonly bytes: Uint8Array;
  /** For people: "boot_params", "initrd". */
  readonly what: string;
}

/** A segment register with its hidden part. See: SDM 25.4.1 Guest Register State. */
export interface SegmentState {
  readonly selector: number;
  readonly base: number;
  /** In bytes, already scaled by granularity. */
  readonly limit: number;
  /** As in a VMCS: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. */
  readonly accessRights: number;
}

export interface DescriptorTableState {
  readonly base: number;
  readonly limit: number;
}

export type GeneralRegister =
  | 'rax'
  | 'rbx'
  | 'rcx'
  | 'rdx'
  | 'rsi'
  | 'rdi'
  | 'rbp'
  | 'rsp'
  | 'r8'
  | 'r9'
  | 'r10'
  | 'r11'
  | 'r12'
  | 'r13'
  | 'r14'
  | 'r15';
export type SegmentName = 'es' | 'cs' | 'ss' | 'ds' | 'fs' | 'gs' | 'ldtr' | 'tr';

/** Every register the boot processor has before the first instruction; what is not here has its value after RESET. */
export interface InitialState {
  readonly rip: number;
  readonly rflags: number;
  /** All sixteen; every value is below 2^53. */
  readonly general: { readonly [Register in GeneralRegister]: number };
  readonly cr0: number;
  readonly cr2: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly gdtr: DescriptorTableState;
  readonly idtr: DescriptorTableState;
  readonly segments: { readonly [Segment in SegmentName]: SegmentState };
}

export type KernelKind = 'multiboot1' | 'multiboot2' | 'linux' | 'pvh';

/** Everything the machine applies before the first instruction. Memory is zero before. */
export interface BootPlan {
  readonly kind: KernelKind;
  readonly writes: readonly MemoryWrite[];
  readonly entry: InitialState;
  /** What the kernel is told about memory. */
  readonly memoryMap: readonly MemoryRegion[];
  /** What was asked for, by the kernel or the user, and has no effect: one sentence each. */
  readonly remarks: readonly string[];
}

/** A file beside the kernel: Linux's initrd, or a multiboot module. */
export interface BootModule {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** What a multiboot kernel sees as the module's command line; QEMU gives the name and the arguments. */
  readonly commandLine: string;
}

export interface BootRequest {
  readonly kernel: Uint8Array;
  /** The kernel's path as the user gave it: for messages, and the first word of a multiboot command line. */
  readonly kernelName: string;
  readonly commandLine: string;
  readonly modules: readonly BootModule[];
}
