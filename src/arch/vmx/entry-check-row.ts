// SPDX-License-Identifier: Apache-2.0
// The shape of a VM-entry rule, and the words that many rules share.

import { ENTRY, EXIT, PRIMARY, SECONDARY } from './controls.ts';
import { OFFSET } from './fields.ts';
import type { FieldName } from './fields.ts';
import type { EntryContext } from './processor-facts.ts';
import type { VmcsView } from './vmcs-view.ts';

/** In the order in which VM entry passes them. */
export type EntryStage = 'controls' | 'host' | 'guest' | 'pdpte';
export const ENTRY_STAGES: readonly EntryStage[] = ['controls', 'host', 'guest', 'pdpte'];

/** What software sees when a rule is broken. */
export type EntryFailure =
  | { readonly kind: 'VMfailInvalid' }
  | { readonly kind: 'VMfailValid'; readonly error: 4 | 5 | 7 | 8 | 26 }
  | { readonly kind: 'exit'; readonly reason: 33; readonly qualification: number }
  /** The qualification is the number of the list's entry, from 1. */
  | { readonly kind: 'exit'; readonly reason: 34; readonly qualification: 'entry' };

export type Holds = (view: VmcsView, context: EntryContext) => boolean;

/** What is known of every rule of VM entry, whatever it looks at: enough to explain it. */
export interface EntryRule {
  /** Unique and stable: 'guest.rflags.bit1'. */
  readonly id: string;
  /** SDM number and title. */
  readonly section: string;
  /** The rule in our words, as what must hold. */
  readonly sentence: string;
  readonly failure: EntryFailure;
  /** The fields that the rule reads; the group's condition may read more. */
  readonly reads: readonly FieldName[];
  /** What the rule reads from memory, if anything. */
  readonly memory?: string;
}

/** A rule for the contents of the VMCS. */
export interface EntryCheck extends EntryRule {
  readonly stage: EntryStage;
  /** True if the rule is kept. */
  readonly holds: Holds;
}

/** A condition for a whole group of rules: where it does not hold, none of them applies. */
export interface GroupCondition {
  readonly sentence: string;
  readonly reads: readonly FieldName[];
  /** The only bits of the fields' low halves that it looks at; absent: all. */
  readonly bits?: number;
  readonly holds: Holds;
}

/**
 * When rules that were kept must be checked again: once software has `written` a field that they read; also once a VM
 * exit has `saved` another value in one, for a guest can leave state that its controls do not permit; or at `each`
 * entry, because they depend on memory or on the processor's own state.
 */
export type CheckedAgain = 'written' | 'saved' | 'each';

export interface EntryCheckGroup {
  readonly name: string;
  readonly stage: EntryStage;
  readonly when?: GroupCondition;
  readonly again: CheckedAgain;
  readonly checks: readonly EntryCheck[];
}

/** A rule before its group gives it section, stage and failure. */
export interface RuleDraft {
  readonly id: string;
  readonly sentence: string;
  readonly reads: readonly FieldName[];
  readonly holds: Holds;
  readonly memory?: string;
}

export function rule(id: string, sentence: string, reads: readonly FieldName[], holds: Holds): RuleDraft {
  return { id, sentence, reads, holds };
}

/** Exit qualification of a failed entry. See: SDM 27.8 VM-Entry Failures During or After Loading Guest State */
export const ENTRY_FAILURE_QUALIFICATION = { other: 0, pdpte: 2, nmiInjection: 3, linkPointer: 4 } as const;

/** Of the exit with reason 33 that a broken rule makes; 0 for rules that fail otherwise. */
export function qualificationOf({ failure }: EntryRule): number {
  return failure.kind === 'exit' && failure.reason === 33 ? failure.qualification : 0;
}

const FAILURES: { readonly [Stage in EntryStage]: EntryFailure } = {
  controls: { kind: 'VMfailValid', error: 7 },
  host: { kind: 'VMfailValid', error: 8 },
  guest: { kind: 'exit', reason: 33, qualification: ENTRY_FAILURE_QUALIFICATION.other },
  pdpte: { kind: 'exit', reason: 33, qualification: ENTRY_FAILURE_QUALIFICATION.pdpte },
};

/** Rules of one section that share a stage and, possibly, a condition and an exit qualification. */
export function group(
  name: string,
  stage: EntryStage,
  section: string,
  drafts: readonly RuleDraft[],
  options: { readonly when?: GroupCondition; readonly qualification?: number; readonly again?: CheckedAgain } = {},
): EntryCheckGroup {
  const { when, qualification, again = 'written' } = options;
  const failure: EntryFailure =
    qualification === undefined ? FAILURES[stage] : { kind: 'exit', reason: 33, qualification };
  const checks = drafts.map((draft) => ({ ...draft, section, stage, failure }));
  return when === undefined ? { name, stage, again, checks } : { name, stage, again, when, checks };
}

// Words that many rules share. Each says which fields it reads.

export const PRIMARY_READS: readonly FieldName[] = ['CPU_BASED_VM_EXEC_CONTROL'];
export const SECONDARY_READS: readonly FieldName[] = ['CPU_BASED_VM_EXEC_CONTROL', 'SECONDARY_VM_EXEC_CONTROL'];

const { PIN_BASED_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL } = OFFSET;
const { VM_EXIT_CONTROLS, VM_ENTRY_CONTROLS, VM_ENTRY_INTR_INFO_FIELD } = OFFSET;
const { ACTIVATE_SECONDARY_CONTROLS } = PRIMARY;

export const pinHas = (view: VmcsView, mask: number): boolean => (view.low(PIN_BASED_VM_EXEC_CONTROL) & mask) !== 0;
export const primaryHas = (view: VmcsView, mask: number): boolean => (view.low(CPU_BASED_VM_EXEC_CONTROL) & mask) !== 0;
export const exitHas = (view: VmcsView, mask: number): boolean => (view.low(VM_EXIT_CONTROLS) & mask) !== 0;
export const entryHas = (view: VmcsView, mask: number): boolean => (view.low(VM_ENTRY_CONTROLS) & mask) !== 0;

/** Secondary controls count as 0 unless the primary controls activate them. */
export function secondaryHas(view: VmcsView, mask: number): boolean {
  const primary = view.low(CPU_BASED_VM_EXEC_CONTROL);
  return (primary & ACTIVATE_SECONDARY_CONTROLS) !== 0 && (view.low(SECONDARY_VM_EXEC_CONTROL) & mask) !== 0;
}

const IA32E_MODE_GUEST = ENTRY.IA32E_MODE_GUEST;
const UNRESTRICTED_GUEST = SECONDARY.UNRESTRICTED_GUEST;
const HOST_ADDRESS_SPACE_SIZE = EXIT.HOST_ADDRESS_SPACE_SIZE;

/** Reads VM_ENTRY_CONTROLS. */
export const ia32eGuest = (view: VmcsView): boolean => entryHas(view, IA32E_MODE_GUEST);
/** Reads VM_EXIT_CONTROLS. */
export const host64 = (view: VmcsView): boolean => exitHas(view, HOST_ADDRESS_SPACE_SIZE);
/** Reads SECONDARY_READS. */
export const unrestricted = (view: VmcsView): boolean => secondaryHas(view, UNRESTRICTED_GUEST);

/** The type of the event that VM entry injects, or -1 for none. Reads VM_ENTRY_INTR_INFO_FIELD. */
export function injectedType(view: VmcsView): number {
  const info = view.low(VM_ENTRY_INTR_INFO_FIELD);
  return (info & 0x80000000) === 0 ? -1 : (info >>> 8) & 7;
}

/** No bit of the field lies beyond the physical-address width. */
export const withinPhysicalWidth = (view: VmcsView, offset: number, context: EntryContext): boolean =>
  view.high(offset) >>> (context.facts.physicalAddressWidth - 32) === 0;

/** Bits 63:47 of the field are equal. */
export function canonical(view: VmcsView, offset: number): boolean {
  const top = view.high(offset) >>> 15;
  return top === 0 || top === 0x1ffff;
}

/** Every byte of an IA32_PAT value is a memory type: 0, 1, 4, 5, 6 or 7. */
export function validPat(view: VmcsView, offset: number): boolean {
  const invalid = (half: number): boolean =>
    // Bits 7:3 of each byte are 0; of types 0..7 only 2 and 3 (bit 1 without bit 2) do not exist.
    (half & 0xf8f8f8f8) !== 0 || ((half >>> 1) & ~(half >>> 2) & 0x01010101) !== 0;
  return !invalid(view.low(offset)) && !invalid(view.high(offset));
}

/** Bits that both halves of the field may not have. */
export const hasOnly = (view: VmcsView, offset: number, low: number, high: number): boolean =>
  (view.low(offset) & ~low) === 0 && (view.high(offset) & ~high) === 0;
