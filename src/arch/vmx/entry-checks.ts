// SPDX-License-Identifier: Apache-2.0
// The rules that VM entry checks, in the manual's order, and the question "which one is broken?".
// The machine asks it of the current VMCS, L0 of its copy of vmcs12; the explainer and the documentation print the rows.

import { CONTROL_CHECKS } from './checks-controls.ts';
import { GUEST_REGISTER_CHECKS, GUEST_TABLE_CHECKS } from './checks-guest-registers.ts';
import { GUEST_SEGMENT_CHECKS } from './checks-guest-segments.ts';
import { GUEST_STATE_CHECKS, PDPTE_CHECKS } from './checks-guest-state.ts';
import { HOST_CHECKS } from './checks-host.ts';
import type { EntryCheck, EntryCheckGroup, EntryStage, GroupCondition, Holds } from './entry-check-row.ts';
import { FIELDS_END } from './encoding.ts';
import { OFFSET } from './fields.ts';
import type { EntryContext } from './processor-facts.ts';
import type { VmcsView } from './vmcs-view.ts';

/** At most 31 groups, so that a set of groups is a small integer. */
export const ENTRY_CHECK_GROUPS: readonly EntryCheckGroup[] = [
  ...CONTROL_CHECKS,
  ...HOST_CHECKS,
  ...GUEST_REGISTER_CHECKS,
  ...GUEST_SEGMENT_CHECKS,
  ...GUEST_TABLE_CHECKS,
  ...GUEST_STATE_CHECKS,
  ...PDPTE_CHECKS,
];

export const ENTRY_CHECKS: readonly EntryCheck[] = ENTRY_CHECK_GROUPS.flatMap((group) => group.checks);

const BY_ID = new Map(ENTRY_CHECKS.map((check) => [check.id, check]));

/** The row with this id. */
export function findEntryCheck(id: string): EntryCheck | undefined {
  return BY_ID.get(id);
}

/** Predicates in an array of their own: the loop over them is what each VM entry pays for. */
interface CompiledGroup {
  readonly bit: number;
  readonly when: Holds | undefined;
  readonly holds: readonly Holds[];
  readonly checks: readonly EntryCheck[];
}

interface CompiledStage {
  /** The bits of its groups. */
  readonly mask: number;
  readonly groups: readonly CompiledGroup[];
}

function compile(stage: EntryStage): CompiledStage {
  const numbered = ENTRY_CHECK_GROUPS.map((group, index) => ({ group, bit: 1 << index }));
  const groups = numbered
    .filter(({ group }) => group.stage === stage)
    .map(({ group, bit }) => ({
      bit,
      when: group.when?.holds,
      holds: group.checks.map((check) => check.holds),
      checks: group.checks,
    }));
  return { mask: groups.reduce((mask, { bit }) => mask | bit, 0), groups };
}

const STAGES: { readonly [Stage in EntryStage]: CompiledStage } = {
  controls: compile('controls'),
  host: compile('host'),
  guest: compile('guest'),
  pdpte: compile('pdpte'),
};

/** All groups, for `firstFailure`. */
export const ALL_GROUPS = (1 << ENTRY_CHECK_GROUPS.length) - 1;

/**
 * The first broken rule of a stage, or undefined if all are kept. `groups` may leave out groups that are known to be
 * kept: those whose fields have not changed since they last were (see `groupsWritten`).
 */
export function firstFailure(
  stage: EntryStage,
  view: VmcsView,
  context: EntryContext,
  groups: number = ALL_GROUPS,
): EntryCheck | undefined {
  const compiled = STAGES[stage];
  if ((groups & compiled.mask) === 0) return undefined;
  for (const group of compiled.groups) {
    if ((groups & group.bit) === 0) continue;
    if (group.when !== undefined && !group.when(view, context)) continue;
    const { holds } = group;
    for (let index = 0; index < holds.length; index++) {
      if (!holds[index](view, context)) return group.checks[index];
    }
  }
  return undefined;
}

/** Every broken rule of every stage, for explanations; the first is not necessarily what the processor reports. */
export function allFailures(view: VmcsView, context: EntryContext): EntryCheck[] {
  return ENTRY_CHECK_GROUPS.filter((group) => group.when?.holds(view, context) ?? true).flatMap((group) =>
    group.checks.filter((check) => !check.holds(view, context)),
  );
}

/** For each field, by region offset / 8, the groups whose rules, or whose condition as a whole, read it. */
const GROUPS_READING: Int32Array = groupsReading(
  () => true,
  ({ bits }) => bits === undefined,
);
/** The groups whose conditions look at some bits of it, and these bits. */
const GROUPS_BY_BITS: Int32Array = new Int32Array(FIELDS_END >> 3);
const BITS_READ: Int32Array = new Int32Array(FIELDS_END >> 3);
ENTRY_CHECK_GROUPS.forEach(({ when }, index) => {
  if (when?.bits === undefined) return;
  for (const field of when.reads) {
    GROUPS_BY_BITS[OFFSET[field] >> 3] |= 1 << index;
    BITS_READ[OFFSET[field] >> 3] |= when.bits;
  }
});

/**
 * The groups that VMWRITE of a field makes worth checking again: those that read it. `before` and `after`: bits 31:0.
 *
 * A processor may keep a mask of groups to check: ALL_GROUPS at VMPTRLD of a VMCS that it knows nothing of,
 * or-ed with `groupsWritten` at VMWRITE, GROUPS_EVERY_ENTRY after an entry that succeeded, or-ed with GROUPS_SAVED when a
 * VM exit changes a field. The state that a VM exit saves passes the groups left out then, since the guest ran with it.
 */
export function groupsWritten(offset: number, before: number, after: number): number {
  const slot = offset >> 3;
  return GROUPS_READING[slot] | (((before ^ after) & BITS_READ[slot]) === 0 ? 0 : GROUPS_BY_BITS[slot]);
}

/** By region offset / 8, the groups that a VM exit that writes another value into the field makes worth checking again. */
export const GROUPS_SAVED: Int32Array = groupsReading(
  ({ again }) => again === 'saved',
  () => true,
);

/** The groups that are checked at every entry, whatever was written since the last. */
export const GROUPS_EVERY_ENTRY: number = ENTRY_CHECK_GROUPS.reduce(
  (mask, { again }, index) => (again === 'each' ? mask | (1 << index) : mask),
  0,
);

function groupsReading(
  wanted: (group: EntryCheckGroup) => boolean,
  wantedCondition: (condition: GroupCondition) => boolean,
): Int32Array {
  const masks = new Int32Array(FIELDS_END >> 3);
  ENTRY_CHECK_GROUPS.forEach((group, index) => {
    if (!wanted(group)) return;
    const { when, checks } = group;
    const conditions = when !== undefined && wantedCondition(when) ? when.reads : [];
    for (const field of [...conditions, ...checks.flatMap((check) => check.reads)])
      masks[OFFSET[field] >> 3] |= 1 << index;
  });
  return masks;
}
