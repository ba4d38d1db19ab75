// SPDX-License-Identifier: Apache-2.0
// What VM entry must know of the processor besides the VMCS: constant facts, and its state at the moment of entry.

import { mayBeOne, mustBeOne } from './capabilities.ts';
import type { Halves, VmxCapabilities } from './capabilities.ts';

/** Constant for a processor. Numbers are unsigned 32-bit halves. Build with `processorFacts`. */
export interface ProcessorFacts {
  readonly physicalAddressWidth: number;
  readonly pinMustBeOne: number;
  readonly pinMayBeOne: number;
  readonly primaryMustBeOne: number;
  readonly primaryMayBeOne: number;
  readonly secondaryMayBeOne: number;
  readonly exitMustBeOne: number;
  readonly exitMayBeOne: number;
  readonly entryMustBeOne: number;
  readonly entryMayBeOne: number;
  /** Bits 63:32 of IA32_VMX_BASIC. */
  readonly basicHigh: number;
  readonly misc: number;
  /** Bits 31:0 of IA32_VMX_EPT_VPID_CAP. */
  readonly eptCapabilities: number;
  readonly vmFunctions: Halves;
  readonly cr0Fixed0: number;
  readonly cr0Fixed1: number;
  readonly cr4Fixed0: number;
  readonly cr4Fixed1: number;
  /** Bits 30:0 of a VMCS region's first word. */
  readonly revisionId: number;
  /** Bits that exist in IA32_EFER; bits 63:32 do not. */
  readonly eferSupported: number;
  /** Bits that exist in IA32_DEBUGCTL; bits 63:32 do not. */
  readonly debugctlSupported: number;
  readonly perfGlobalCtrlSupported: Halves;
  /** Whether the processor has RTM (bit 16 of pending debug exceptions). */
  readonly rtm: boolean;
}

/** Facts that the capability MSRs do not tell. */
export type OtherFacts = Partial<
  Pick<ProcessorFacts, 'eferSupported' | 'debugctlSupported' | 'perfGlobalCtrlSupported' | 'rtm'>
>;

/** SCE, LME, LMA, NXE */
const EFER_BITS = 0x0d01;
/** LBR and BTF */
const DEBUGCTL_BITS = 0x0003;
const NONE: Halves = { low: 0, high: 0 };

/** Derives the facts from what the processor shows. `physicalAddressWidth` is CPUID 80000008H:EAX[7:0], 32..52. */
export function processorFacts(
  capabilities: VmxCapabilities,
  physicalAddressWidth: number,
  other: OtherFacts = {},
): ProcessorFacts {
  const value = (msr: Halves | undefined): Halves => msr ?? NONE;
  return {
    physicalAddressWidth,
    pinMustBeOne: mustBeOne(capabilities, 'pin'),
    pinMayBeOne: mayBeOne(capabilities, 'pin'),
    primaryMustBeOne: mustBeOne(capabilities, 'primary'),
    primaryMayBeOne: mayBeOne(capabilities, 'primary'),
    secondaryMayBeOne: mayBeOne(capabilities, 'secondary'),
    exitMustBeOne: mustBeOne(capabilities, 'exit'),
    exitMayBeOne: mayBeOne(capabilities, 'exit'),
    entryMustBeOne: mustBeOne(capabilities, 'entry'),
    entryMayBeOne: mayBeOne(capabilities, 'entry'),
    basicHigh: value(capabilities.IA32_VMX_BASIC).high,
    misc: value(capabilities.IA32_VMX_MISC).low,
    eptCapabilities: value(capabilities.IA32_VMX_EPT_VPID_CAP).low,
    vmFunctions: value(capabilities.IA32_VMX_VMFUNC),
    cr0Fixed0: value(capabilities.IA32_VMX_CR0_FIXED0).low,
    cr0Fixed1: value(capabilities.IA32_VMX_CR0_FIXED1).low,
    cr4Fixed0: value(capabilities.IA32_VMX_CR4_FIXED0).low,
    cr4Fixed1: value(capabilities.IA32_VMX_CR4_FIXED1).low,
    revisionId: value(capabilities.IA32_VMX_BASIC).low & 0x7fffffff,
    eferSupported: other.eferSupported ?? EFER_BITS,
    debugctlSupported: other.debugctlSupported ?? DEBUGCTL_BITS,
    perfGlobalCtrlSupported: other.perfGlobalCtrlSupported ?? NONE,
    rtm: other.rtm ?? false,
  };
}

/** The processor at the moment of VM entry. One object per processor, updated before each entry. */
export interface EntryContext {
  readonly facts: ProcessorFacts;
  /** IA32_EFER.LMA of the processor that executes VMLAUNCH or VMRESUME. */
  longModeActive: boolean;
  inSmm: boolean;
  /** Physical address of the current VMCS. */
  currentVmcs: number;
  /** Reads 4 bytes at a physical address (4-byte aligned), 0..2^32-1; all ones where there is no memory. */
  readPhysical32(address: number): number;
}
