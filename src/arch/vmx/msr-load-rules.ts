// SPDX-License-Identifier: Apache-2.0
// Which entries of the three MSR lists the processor refuses before it even tries the MSR.
// See: SDM 27.4 Loading MSRs, 28.4 Saving MSRs, 28.6 Loading MSRs

/** `entryLoad` fails as exit 34, `exitStore` and `exitLoad` as VMX abort. */
export type MsrList = 'entryLoad' | 'exitStore' | 'exitLoad';

/** One 16-byte entry of a list: the MSR's index in bytes 3:0, reserved bytes 7:4, the value in bytes 15:8. */
export const MSR_ENTRY_SIZE = 16;

export interface MsrListContext {
  /** The local APIC is in x2APIC mode. */
  readonly x2apicMode: boolean;
  readonly inSmm: boolean;
}

export interface MsrListRule {
  readonly id: string;
  readonly section: string;
  readonly sentence: string;
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

// prettier-ignore
export const MSR_LIST_RULES: readonly MsrListRule[] = [
  { id: 'msr.fs-base',      section: '27.4 Loading MSRs', sentence: 'IA32_FS_BASE is not loaded: the FS base comes from the VMCS', lists: LOAD,
    holds: (index) => index !== IA32_FS_BASE },
  { id: 'msr.gs-base',      section: '27.4 Loading MSRs', sentence: 'IA32_GS_BASE is not loaded: the GS base comes from the VMCS', lists: LOAD,
    holds: (index) => index !== IA32_GS_BASE },
  { id: 'msr.x2apic',       section: '27.4 Loading MSRs', sentence: 'in x2APIC mode, no MSR of the local APIC (800H to 8FFH)', lists: ANY,
    holds: (index, _reserved, context) => !context.x2apicMode || index >>> 8 !== 0x8 },
  { id: 'msr.smm-monitor',  section: '27.4 Loading MSRs', sentence: 'IA32_SMM_MONITOR_CTL is not loaded outside SMM', lists: LOAD,
    holds: (index, _reserved, context) => context.inSmm || index !== IA32_SMM_MONITOR_CTL },
  { id: 'msr.bios-update',  section: '27.4 Loading MSRs', sentence: 'IA32_BIOS_UPDT_TRIG is not loaded (model-specific)', lists: LOAD,
    holds: (index) => index !== IA32_BIOS_UPDT_TRIG },
  { id: 'msr.bios-sign-id', section: '27.4 Loading MSRs', sentence: 'IA32_BIOS_SIGN_ID is not loaded (model-specific)', lists: LOAD,
    holds: (index) => index !== IA32_BIOS_SIGN_ID },
  { id: 'msr.smbase',       section: '28.4 Saving MSRs',  sentence: 'IA32_SMBASE is not stored outside SMM', lists: STORE,
    holds: (index, _reserved, context) => context.inSmm || index !== IA32_SMBASE },
  { id: 'msr.reserved',     section: '27.4 Loading MSRs', sentence: 'bits 63:32 of an entry are 0', lists: ANY,
    holds: (_index, reserved) => reserved === 0 },
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
