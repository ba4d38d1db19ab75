// SPDX-License-Identifier: Apache-2.0
// The bits of the control fields, and the capability MSRs that permit each.

import type { CapabilityMsrName } from './capabilities.ts';
import type { FieldName } from './fields.ts';

export type ControlGroup = 'pin' | 'primary' | 'secondary' | 'tertiary' | 'exit' | 'entry';

export interface ControlRow<Group extends ControlGroup = ControlGroup, Name extends string = string> {
  readonly group: Group;
  readonly bit: number;
  readonly name: Name;
  /** The manual's words. */
  readonly title: string;
}

function row<const Group extends ControlGroup, const Name extends string>(
  group: Group,
  bit: number,
  name: Name,
  title: string,
): ControlRow<Group, Name> {
  return { group, bit, name, title };
}

// prettier-ignore
export const CONTROLS = [
  // See: SDM 25.6.1 Pin-Based VM-Execution Controls
  row('pin',        0, 'EXTERNAL_INTERRUPT_EXITING',        'External-interrupt exiting'),
  row('pin',        3, 'NMI_EXITING',                       'NMI exiting'),
  row('pin',        5, 'VIRTUAL_NMIS',                      'Virtual NMIs'),
  row('pin',        6, 'ACTIVATE_VMX_PREEMPTION_TIMER',     'Activate VMX-preemption timer'),
  row('pin',        7, 'PROCESS_POSTED_INTERRUPTS',         'Process posted interrupts'),
  // See: SDM 25.6.2 Processor-Based VM-Execution Controls
  row('primary',    2, 'INTERRUPT_WINDOW_EXITING',          'Interrupt-window exiting'),
  row('primary',    3, 'USE_TSC_OFFSETTING',                'Use TSC offsetting'),
  row('primary',    7, 'HLT_EXITING',                       'HLT exiting'),
  row('primary',    9, 'INVLPG_EXITING',                    'INVLPG exiting'),
  row('primary',   10, 'MWAIT_EXITING',                     'MWAIT exiting'),
  row('primary',   11, 'RDPMC_EXITING',                     'RDPMC exiting'),
  row('primary',   12, 'RDTSC_EXITING',                     'RDTSC exiting'),
  row('primary',   15, 'CR3_LOAD_EXITING',                  'CR3-load exiting'),
  row('primary',   16, 'CR3_STORE_EXITING',                 'CR3-store exiting'),
  row('primary',   17, 'ACTIVATE_TERTIARY_CONTROLS',        'Activate tertiary controls'),
  row('primary',   19, 'CR8_LOAD_EXITING',                  'CR8-load exiting'),
  row('primary',   20, 'CR8_STORE_EXITING',                 'CR8-store exiting'),
  row('primary',   21, 'USE_TPR_SHADOW',                    'Use TPR shadow'),
  row('primary',   22, 'NMI_WINDOW_EXITING',                'NMI-window exiting'),
  row('primary',   23, 'MOV_DR_EXITING',                    'MOV-DR exiting'),
  row('primary',   24, 'UNCONDITIONAL_IO_EXITING',          'Unconditional I/O exiting'),
  row('primary',   25, 'USE_IO_BITMAPS',                    'Use I/O bitmaps'),
  row('primary',   27, 'MONITOR_TRAP_FLAG',                 'Monitor trap flag'),
  row('primary',   28, 'USE_MSR_BITMAPS',                   'Use MSR bitmaps'),
  row('primary',   29, 'MONITOR_EXITING',                   'MONITOR exiting'),
  row('primary',   30, 'PAUSE_EXITING',                     'PAUSE exiting'),
  row('primary',   31, 'ACTIVATE_SECONDARY_CONTROLS',       'Activate secondary controls'),
  row('secondary',  0, 'VIRTUALIZE_APIC_ACCESSES',          'Virtualize APIC accesses'),
  row('secondary',  1, 'ENABLE_EPT',                        'Enable EPT'),
  row('secondary',  2, 'DESCRIPTOR_TABLE_EXITING',          'Descriptor-table exiting'),
  row('secondary',  3, 'ENABLE_RDTSCP',                     'Enable RDTSCP'),
  row('secondary',  4, 'VIRTUALIZE_X2APIC_MODE',            'Virtualize x2APIC mode'),
  row('secondary',  5, 'ENABLE_VPID',                       'Enable VPID'),
  row('secondary',  6, 'WBINVD_EXITING',                    'WBINVD exiting'),
  row('secondary',  7, 'UNRESTRICTED_GUEST',                'Unrestricted guest'),
  row('secondary',  8, 'APIC_REGISTER_VIRTUALIZATION',      'APIC-register virtualization'),
  row('secondary',  9, 'VIRTUAL_INTERRUPT_DELIVERY',        'Virtual-interrupt delivery'),
  row('secondary', 10, 'PAUSE_LOOP_EXITING',                'PAUSE-loop exiting'),
  row('secondary', 11, 'RDRAND_EXITING',                    'RDRAND exiting'),
  row('secondary', 12, 'ENABLE_INVPCID',                    'Enable INVPCID'),
  row('secondary', 13, 'ENABLE_VM_FUNCTIONS',               'Enable VM functions'),
  row('secondary', 14, 'VMCS_SHADOWING',                    'VMCS shadowing'),
  row('secondary', 15, 'ENABLE_ENCLS_EXITING',              'Enable ENCLS exiting'),
  row('secondary', 16, 'RDSEED_EXITING',                    'RDSEED exiting'),
  row('secondary', 17, 'ENABLE_PML',                        'Enable PML'),
  row('secondary', 18, 'EPT_VIOLATION_VE',                  'EPT-violation #VE'),
  row('secondary', 19, 'CONCEAL_VMX_FROM_PT',               'Conceal VMX from PT'),
  row('secondary', 20, 'ENABLE_XSAVES_XRSTORS',             'Enable XSAVES/XRSTORS'),
  row('secondary', 21, 'PASID_TRANSLATION',                 'PASID translation'),
  row('secondary', 22, 'MODE_BASED_EXECUTE_CONTROL',        'Mode-based execute control for EPT'),
  row('secondary', 23, 'SUB_PAGE_WRITE_PERMISSIONS',        'Sub-page write permissions for EPT'),
  row('secondary', 24, 'PT_USES_GUEST_PHYSICAL_ADDRESSES',  'Intel PT uses guest physical addresses'),
  row('secondary', 25, 'USE_TSC_SCALING',                   'Use TSC scaling'),
  row('secondary', 26, 'ENABLE_USER_WAIT_AND_PAUSE',        'Enable user wait and pause'),
  row('secondary', 27, 'ENABLE_PCONFIG',                    'Enable PCONFIG'),
  row('secondary', 28, 'ENABLE_ENCLV_EXITING',              'Enable ENCLV exiting'),
  row('secondary', 30, 'VMM_BUS_LOCK_DETECTION',            'VMM bus-lock detection'),
  row('secondary', 31, 'INSTRUCTION_TIMEOUT',               'Instruction timeout'),
  row('tertiary',   0, 'LOADIWKEY_EXITING',                 'LOADIWKEY exiting'),
  row('tertiary',   1, 'ENABLE_HLAT',                       'Enable HLAT'),
  row('tertiary',   2, 'EPT_PAGING_WRITE_CONTROL',          'EPT paging-write control'),
  row('tertiary',   3, 'GUEST_PAGING_VERIFICATION',         'Guest-paging verification'),
  row('tertiary',   4, 'IPI_VIRTUALIZATION',                'IPI virtualization'),
  row('tertiary',   5, 'SEAM_GUEST_PHYSICAL_ADDRESS_WIDTH', 'SEAM guest-physical address width'),
  row('tertiary',   6, 'ENABLE_MSR_LIST_INSTRUCTIONS',      'Enable MSR-list instructions'),
  row('tertiary',   7, 'VIRTUALIZE_IA32_SPEC_CTRL',         'Virtualize IA32_SPEC_CTRL'),
  // See: SDM 25.7.1 VM-Exit Controls
  row('exit',       2, 'SAVE_DEBUG_CONTROLS',               'Save debug controls'),
  row('exit',       9, 'HOST_ADDRESS_SPACE_SIZE',           'Host address-space size'),
  row('exit',      12, 'LOAD_IA32_PERF_GLOBAL_CTRL',        'Load IA32_PERF_GLOBAL_CTRL'),
  row('exit',      15, 'ACKNOWLEDGE_INTERRUPT_ON_EXIT',     'Acknowledge interrupt on exit'),
  row('exit',      18, 'SAVE_IA32_PAT',                     'Save IA32_PAT'),
  row('exit',      19, 'LOAD_IA32_PAT',                     'Load IA32_PAT'),
  row('exit',      20, 'SAVE_IA32_EFER',                    'Save IA32_EFER'),
  row('exit',      21, 'LOAD_IA32_EFER',                    'Load IA32_EFER'),
  row('exit',      22, 'SAVE_VMX_PREEMPTION_TIMER_VALUE',   'Save VMX-preemption timer value'),
  row('exit',      23, 'CLEAR_IA32_BNDCFGS',                'Clear IA32_BNDCFGS'),
  row('exit',      24, 'CONCEAL_VMX_FROM_PT',               'Conceal VMX from PT'),
  row('exit',      25, 'CLEAR_IA32_RTIT_CTL',               'Clear IA32_RTIT_CTL'),
  row('exit',      26, 'CLEAR_IA32_LBR_CTL',                'Clear IA32_LBR_CTL'),
  row('exit',      27, 'CLEAR_UINV',                        'Clear UINV'),
  row('exit',      28, 'LOAD_CET_STATE',                    'Load CET state'),
  row('exit',      29, 'LOAD_PKRS',                         'Load PKRS'),
  row('exit',      30, 'SAVE_IA32_PERF_GLOBAL_CTRL',        'Save IA32_PERF_GLOBAL_CTRL'),
  row('exit',      31, 'ACTIVATE_SECONDARY_CONTROLS',       'Activate secondary controls'),
  // See: SDM 25.8.1 VM-Entry Controls
  row('entry',      2, 'LOAD_DEBUG_CONTROLS',               'Load debug controls'),
  row('entry',      9, 'IA32E_MODE_GUEST',                  'IA-32e mode guest'),
  row('entry',     10, 'ENTRY_TO_SMM',                      'Entry to SMM'),
  row('entry',     11, 'DEACTIVATE_DUAL_MONITOR_TREATMENT', 'Deactivate dual-monitor treatment'),
  row('entry',     13, 'LOAD_IA32_PERF_GLOBAL_CTRL',        'Load IA32_PERF_GLOBAL_CTRL'),
  row('entry',     14, 'LOAD_IA32_PAT',                     'Load IA32_PAT'),
  row('entry',     15, 'LOAD_IA32_EFER',                    'Load IA32_EFER'),
  row('entry',     16, 'LOAD_IA32_BNDCFGS',                 'Load IA32_BNDCFGS'),
  row('entry',     17, 'CONCEAL_VMX_FROM_PT',               'Conceal VMX from PT'),
  row('entry',     18, 'LOAD_IA32_RTIT_CTL',                'Load IA32_RTIT_CTL'),
  row('entry',     19, 'LOAD_UINV',                         'Load UINV'),
  row('entry',     20, 'LOAD_CET_STATE',                    'Load CET state'),
  row('entry',     21, 'LOAD_GUEST_IA32_LBR_CTL',           'Load guest IA32_LBR_CTL'),
  row('entry',     22, 'LOAD_PKRS',                         'Load PKRS'),
] as const;

type Rows = (typeof CONTROLS)[number];
export type ControlName<Group extends ControlGroup> = Extract<Rows, { readonly group: Group }>['name'];
/** A control named with its group, as in 'secondary.ENABLE_EPT'. */
export type ControlKey = Rows extends infer Each
  ? Each extends ControlRow<infer Group, infer Name>
    ? `${Group}.${Name}`
    : never
  : never;

function masks<Group extends ControlGroup>(group: Group): { readonly [Name in ControlName<Group>]: number } {
  const rows = CONTROLS.filter((control) => control.group === group);
  return Object.fromEntries(rows.map((control) => [control.name, (1 << control.bit) >>> 0])) as never;
}

// Masks by name, unsigned: `primary & PRIMARY.USE_MSR_BITMAPS` is non-zero if the control is 1.
export const PIN = masks('pin');
export const PRIMARY = masks('primary');
export const SECONDARY = masks('secondary');
export const TERTIARY = masks('tertiary');
export const EXIT = masks('exit');
export const ENTRY = masks('entry');

export interface ControlGroupRow {
  readonly group: ControlGroup;
  readonly title: string;
  readonly field: FieldName;
  /** Reserved bits (and some named ones) that the capability MSR without TRUE reports as must-be-1, by bit number. */
  readonly default1: readonly number[];
  /** The members of default1 that the TRUE capability MSR permits to be 0. */
  readonly relaxedByTrue: readonly number[];
  readonly capability: CapabilityMsrName;
  readonly trueCapability?: CapabilityMsrName;
}

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

// See: SDM A.2 Reserved Controls and Default Settings
// prettier-ignore
export const CONTROL_GROUPS: readonly ControlGroupRow[] = [
  { group: 'pin',       title: 'Pin-based VM-execution controls',                 field: 'PIN_BASED_VM_EXEC_CONTROL',
    default1: [1, 2, 4],                              relaxedByTrue: [],       capability: 'IA32_VMX_PINBASED_CTLS',   trueCapability: 'IA32_VMX_TRUE_PINBASED_CTLS' },
  { group: 'primary',   title: 'Primary processor-based VM-execution controls',   field: 'CPU_BASED_VM_EXEC_CONTROL',
    default1: [1, ...range(4, 6), 8, ...range(13, 16), 26], relaxedByTrue: [15, 16], capability: 'IA32_VMX_PROCBASED_CTLS',  trueCapability: 'IA32_VMX_TRUE_PROCBASED_CTLS' },
  { group: 'secondary', title: 'Secondary processor-based VM-execution controls', field: 'SECONDARY_VM_EXEC_CONTROL',
    default1: [],                                     relaxedByTrue: [],       capability: 'IA32_VMX_PROCBASED_CTLS2' },
  { group: 'tertiary',  title: 'Tertiary processor-based VM-execution controls',  field: 'TERTIARY_VM_EXEC_CONTROL',
    default1: [],                                     relaxedByTrue: [],       capability: 'IA32_VMX_PROCBASED_CTLS3' },
  { group: 'exit',      title: 'Primary VM-exit controls',                        field: 'VM_EXIT_CONTROLS',
    default1: [...range(0, 8), 10, 11, 13, 14, 16, 17], relaxedByTrue: [2],    capability: 'IA32_VMX_EXIT_CTLS',       trueCapability: 'IA32_VMX_TRUE_EXIT_CTLS' },
  { group: 'entry',     title: 'VM-entry controls',                               field: 'VM_ENTRY_CONTROLS',
    default1: [...range(0, 8), 12],                   relaxedByTrue: [2],      capability: 'IA32_VMX_ENTRY_CTLS',      trueCapability: 'IA32_VMX_TRUE_ENTRY_CTLS' },
];

const BY_KEY = new Map<string, ControlRow>(CONTROLS.map((control) => [`${control.group}.${control.name}`, control]));
const GROUP = new Map(CONTROL_GROUPS.map((group) => [group.group, group]));

/** The row of a control, as in 'entry.IA32E_MODE_GUEST'. */
export function controlOf(key: ControlKey): ControlRow {
  return BY_KEY.get(key) as ControlRow;
}

export function controlGroup(group: ControlGroup): ControlGroupRow {
  return GROUP.get(group) as ControlGroupRow;
}

/** Names of the controls that are 1 in a control field's low half, in order of bits. */
export function controlsSet(group: ControlGroup, value: number): string[] {
  return CONTROLS.filter((control) => control.group === group && (value & (1 << control.bit)) !== 0).map(
    (control) => control.name,
  );
}
