// SPDX-License-Identifier: Apache-2.0
// Which entries of the three MSR lists the processor refuses before it even tries the MSR.
// See: SDM 27.4 Loading MSRs, 28.4 Saving MSRs, 28.6 Loading MSRs

import type { EntryFailure, EntryRule } from './entry-check-row.ts';
import type { FieldName } from './fields.ts';
import { SECTION } from './sections.ts';

/** `entryLoad` fails as exit 34, `exitStore` and `exitLoad` as VMX abort. */
export type MsrList = 'entryLoad' | 'exitStore' | 'exitLoad';

/** One 16-byte entry of a list: the MSR's index in bytes 3:0, reserved bytes 7:4, the value in bytes 15:8. */
export const MSR_ENTRY_SIZE = 16;

export interface MsrListContext {
  /** The local APIC is in x2APIC mode. */
  readonly x2apicMode: boolean;
  readonly inSmm: boolean;
}

/** `failure` and `reads` are those of the entry's list. */
export interface MsrListRule extends EntryRule {
  readonly lists: readonly MsrList[];
  /** True if the rule is kept. `index` is bits 31:0 of the entry, `reserved` bits 63:32, both unsigned. */
  readonly holds: (index: number, reserved: number, context: MsrListContext) => boolean;
}

const LOAD: readonly MsrList[] = ['entryLoad', 'exitLoad'];
const STORE: readonly MsrList[] = ['exitStore'];
const ANY: readonly MsrList[] = ['entryLoad', 'exitStore', 'exitLoad'];

const IA32_BIOS_UPDT_TRIG = 0x79;
const IA32_BIOS_SIGN_ID = 0x8b;
const IA32_SMM_MONITOR_CTL = 0x9b;
const IA32_SMBASE = 0x9e;
const IA32_FS_BASE = 0xc0000100;
const IA32_GS_BASE = 0xc0000101;

type HoldsOfEntry = MsrListRule['holds'];

const FAILURE: EntryFailure = { kind: 'exit', reason: 34, qualification: 'entry' };
const READS: readonly FieldName[] = ['VM_ENTRY_MSR_LOAD_ADDR', 'VM_ENTRY_MSR_LOAD_COUNT'];
const ENTRY_OF_LIST = 'the 16-byte entry of the list';

function row(id: string, lists: readonly MsrList[], sentence: string, holds: HoldsOfEntry): MsrListRule {
  const section = lists === STORE ? SECTION.savingMsrs : SECTION.loadingMsrs;
  return { id: `msr.${id}`, section, sentence, lists, holds, failure: FAILURE, reads: READS, memory: ENTRY_OF_LIST };
}

// prettier-ignore
export const MSR_LIST_RULES: readonly MsrListRule[] = [
  row('fs-base',      LOAD,  'IA32_FS_BASE is not loaded: the FS base comes from the VMCS', (index) => index !== IA32_FS_BASE),
  row('gs-base',      LOAD,  'IA32_GS_BASE is not loaded: the GS base comes from the VMCS', (index) => index !== IA32_GS_BASE),
  row('x2apic',       ANY,   'in x2APIC mode, no MSR of the local APIC (800H to 8FFH)', (index, _reserved, context) => !context.x2apicMode || index >>> 8 !== 0x8),
  row('smm-monitor',  LOAD,  'IA32_SMM_MONITOR_CTL is not loaded outside SMM', (index, _reserved, context) => context.inSmm || index !== IA32_SMM_MONITOR_CTL),
  row('bios-update',  LOAD,  'IA32_BIOS_UPDT_TRIG is not loaded (model-specific)', (index) => index !== IA32_BIOS_UPDT_TRIG),
  row('bios-sign-id', LOAD,  'IA32_BIOS_SIGN_ID is not loaded (model-specific)', (index) => index !== IA32_BIOS_SIGN_ID),
  row('smbase',       STORE, 'IA32_SMBASE is not stored outside SMM', (index, _reserved, context) => context.inSmm || index !== IA32_SMBASE),
  row('reserved',     ANY,   'bits 63:32 of an entry are 0', (_index, reserved) => reserved === 0),
];

/** The rule that only trying tells: the processor's own WRMSR refuses the index or the value. */
export const MSR_WRITE_RULE: EntryRule = {
  id: 'msr.write',
  section: SECTION.loadingMsrs,
  sentence: 'WRMSR of the MSR with the value of the entry would not raise #GP at CPL 0',
  ...{ failure: FAILURE, reads: READS, memory: ENTRY_OF_LIST },
};

/** Every rule for the entries of the VM-entry MSR-load list. */
export const MSR_LOAD_CHECKS: readonly EntryRule[] = [
  ...MSR_LIST_RULES.filter((rule) => rule.lists.includes('entryLoad')),
  MSR_WRITE_RULE,
];

/**
 * The first broken rule for one entry of a list. If there is none, the entry still fails where WRMSR (or RDMSR, for
 * the store list) of that MSR with that value would raise #GP at CPL 0.
 */
export function msrEntryFailure(
  list: MsrList,
  index: number,
  reserved: number,
  context: MsrListContext,
): MsrListRule | undefined {
  return MSR_LIST_RULES.find((rule) => rule.lists.includes(list) && !rule.holds(index >>> 0, reserved >>> 0, context));
}
