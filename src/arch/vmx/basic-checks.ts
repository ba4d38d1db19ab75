// SPDX-License-Identifier: Apache-2.0
// What VMLAUNCH and VMRESUME check before they look at the fields of the VMCS. See: SDM 27.1 Basic VM-Entry Checks

import { LAUNCH_STATE } from './encoding.ts';
import type { EntryFailure, EntryRule } from './entry-check-row.ts';
import { SECTION } from './sections.ts';

/** One object per processor, filled in before each entry. */
export interface BasicEntryState {
  /** There is a current VMCS. */
  current: boolean;
  /** Its region is marked as a shadow VMCS (bit 31 of the first word). */
  shadow: boolean;
  /** Events are blocked by MOV SS. */
  movSs: boolean;
  /** VMLAUNCH, not VMRESUME. */
  launch: boolean;
  /** Of the current VMCS, one of LAUNCH_STATE. */
  launchState: number;
}

export interface BasicCheck extends EntryRule {
  /** True if the rule is kept. */
  readonly holds: (state: BasicEntryState) => boolean;
}

export const initialBasicState = (): BasicEntryState => ({
  ...{ current: false, shadow: false, movSs: false, launch: false, launchState: LAUNCH_STATE.clear },
});

function row(id: string, failure: EntryFailure, sentence: string, holds: BasicCheck['holds']): BasicCheck {
  return { id: `basic.${id}`, section: SECTION.basic, sentence, failure, reads: [], holds };
}

const INVALID: EntryFailure = { kind: 'VMfailInvalid' };
const valid = (error: 4 | 5 | 26): EntryFailure => ({ kind: 'VMfailValid', error });

/** In the order in which they are made. */
// prettier-ignore
export const BASIC_CHECKS: readonly BasicCheck[] = [
  row('current-vmcs',    INVALID,   'there is a current VMCS', ({ current }) => current),
  row('shadow',          INVALID,   'the current VMCS is not a shadow VMCS', ({ shadow }) => !shadow),
  row('mov-ss',          valid(26), 'events are not blocked by MOV SS', ({ movSs }) => !movSs),
  row('launch.clear',    valid(4),  'for VMLAUNCH, the launch state of the current VMCS is clear', ({ launch, launchState }) => !launch || launchState === LAUNCH_STATE.clear),
  row('resume.launched', valid(5),  'for VMRESUME, the launch state of the current VMCS is launched', ({ launch, launchState }) => launch || launchState === LAUNCH_STATE.launched),
];

/** The first broken rule, or undefined: the fields are looked at next. */
export function firstBasicFailure(state: BasicEntryState): BasicCheck | undefined {
  for (const check of BASIC_CHECKS) if (!check.holds(state)) return check;
  return undefined;
}
