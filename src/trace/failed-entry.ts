// SPDX-License-Identifier: Apache-2.0
import type { EntryRule } from '../arch/vmx/entry-check-row.ts';
import type { VmcsView } from '../arch/vmx/vmcs-view.ts';
import type { RegionWriters } from './field-writers.ts';

/** An entry of the VM-entry MSR-load list that could not be loaded. */
export interface FailedMsr {
  /** From 1: the exit qualification. */
  readonly number: number;
  readonly index: number;
  readonly low: number;
  readonly high: number;
}

/** A VM entry that failed: what is needed to explain it, at the moment it failed. `vmcs` changes as soon as it is over. */
export interface FailedEntry {
  /** Of the hypervisor that tried: 1 for L1. */
  readonly level: number;
  readonly processor: number;
  readonly instruction: 'VMLAUNCH' | 'VMRESUME';
  /** RIP of the instruction, a signed Number. */
  readonly rip: number;
  /** Of the software that executed it, for who wants to look at its memory. */
  readonly cr3: number;
  readonly rule: EntryRule;
  /** The VMCS, where there is a current one. */
  readonly vmcs: VmcsView | undefined;
  readonly writers: RegionWriters | undefined;
  readonly msr: FailedMsr | undefined;
}
