// SPDX-License-Identifier: Apache-2.0
// Table: what of VMX L0 can give on to L1. L1 sees what the hardware has and this table has: under L0 the same as on the
// bare machine. "May be 1" is an intersection; "must be 1" is the hardware's, since what L0 itself needs it adds later.

import { BASIC_HIGH, CAPABILITY_MSRS, EPT_CAP, MISC, VPID_CAP, fieldExists } from '../../arch/vmx/capabilities.ts';
import type { CapabilityMsrName, Halves, VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import { CONTROL_GROUPS, controlOf } from '../../arch/vmx/controls.ts';
import type { ControlGroup, ControlKey } from '../../arch/vmx/controls.ts';
import type { BitField } from '../../arch/vmx/bit-field.ts';
import { FIELDS } from '../../arch/vmx/fields.ts';

/** A control that L1 may set, and what L0 does about it. */
// prettier-ignore
export const SUPPORTED_CONTROLS: readonly (readonly [ControlKey, how: string])[] = [
  ['pin.EXTERNAL_INTERRUPT_EXITING',          'a virtual interrupt for L1 makes L2 exit'],
  ['pin.NMI_EXITING',                         'likewise an NMI'],
  ['pin.VIRTUAL_NMIS',                        'in hardware'],
  ['pin.ACTIVATE_VMX_PREEMPTION_TIMER',       'in hardware: L0 has no use for the timer'],
  ['primary.INTERRUPT_WINDOW_EXITING',        'in hardware'],
  ['primary.USE_TSC_OFFSETTING',              'offsets add up'],
  ['primary.HLT_EXITING',                     'in hardware'],
  ['primary.INVLPG_EXITING',                  'in hardware'],
  ['primary.MWAIT_EXITING',                   'in hardware'],
  ['primary.RDPMC_EXITING',                   'in hardware'],
  ['primary.RDTSC_EXITING',                   'in hardware'],
  ['primary.CR3_LOAD_EXITING',                'in hardware'],
  ['primary.CR3_STORE_EXITING',               'in hardware'],
  ['primary.CR8_LOAD_EXITING',                'in hardware'],
  ['primary.CR8_STORE_EXITING',               'in hardware'],
  ['primary.USE_TPR_SHADOW',                  'in hardware, on the page in L1\'s memory'],
  ['primary.NMI_WINDOW_EXITING',              'in hardware'],
  ['primary.MOV_DR_EXITING',                  'in hardware'],
  ['primary.UNCONDITIONAL_IO_EXITING',        'in hardware'],
  ['primary.USE_IO_BITMAPS',                  'bitmaps are or-ed'],
  ['primary.MONITOR_TRAP_FLAG',               'in hardware'],
  ['primary.USE_MSR_BITMAPS',                 'bitmaps are or-ed'],
  ['primary.MONITOR_EXITING',                 'in hardware'],
  ['primary.PAUSE_EXITING',                   'in hardware'],
  ['primary.ACTIVATE_SECONDARY_CONTROLS',     'always on'],
  ['secondary.VIRTUALIZE_APIC_ACCESSES',      'in hardware, on the page in L1\'s memory'],
  ['secondary.ENABLE_EPT',                    'EPT02'],
  ['secondary.DESCRIPTOR_TABLE_EXITING',      'in hardware'],
  ['secondary.ENABLE_RDTSCP',                 'in hardware'],
  ['secondary.ENABLE_VPID',                   'a tag of L0\'s for each VPID12'],
  ['secondary.WBINVD_EXITING',                'in hardware'],
  ['secondary.UNRESTRICTED_GUEST',            'in hardware'],
  ['secondary.PAUSE_LOOP_EXITING',            'in hardware'],
  ['secondary.RDRAND_EXITING',                'in hardware'],
  ['secondary.ENABLE_INVPCID',                'in hardware'],
  ['secondary.VMCS_SHADOWING',                'in hardware: a shadow VMCS of L1 has the format of the processor'],
  ['secondary.RDSEED_EXITING',                'in hardware'],
  ['secondary.ENABLE_XSAVES_XRSTORS',         'in hardware'],
  ['secondary.USE_TSC_SCALING',               'multipliers multiply'],
  ['exit.SAVE_DEBUG_CONTROLS',                'in software'],
  ['exit.HOST_ADDRESS_SPACE_SIZE',            'in software'],
  ['exit.ACKNOWLEDGE_INTERRUPT_ON_EXIT',      'in software, with L1\'s local APIC'],
  ['exit.SAVE_IA32_PAT',                      'in software'],
  ['exit.LOAD_IA32_PAT',                      'in software'],
  ['exit.SAVE_IA32_EFER',                     'in software'],
  ['exit.LOAD_IA32_EFER',                     'in software'],
  ['exit.SAVE_VMX_PREEMPTION_TIMER_VALUE',    'in software'],
  ['entry.LOAD_DEBUG_CONTROLS',               'in software'],
  ['entry.IA32E_MODE_GUEST',                  'in hardware'],
  ['entry.LOAD_IA32_PAT',                     'in software'],
  ['entry.LOAD_IA32_EFER',                    'in software'],
];

const mask = (...fields: readonly BitField[]): number =>
  fields.reduce((all, { low, width }) => all | ((width === 32 ? -1 : (1 << width) - 1) << low), 0);
const { VMCS_REGION_SIZE, MEMORY_TYPE, INS_OUTS_INFORMATION, TRUE_CONTROLS, NO_ERROR_CODE_CONSISTENCY_CHECK } =
  BASIC_HIGH;
const {
  PREEMPTION_TIMER_RATE,
  EXIT_STORES_LMA,
  ACTIVITY_HLT,
  ACTIVITY_SHUTDOWN,
  ACTIVITY_WAIT_FOR_SIPI,
  CR3_TARGET_VALUES,
  MSR_LIST_SIZE,
  VMWRITE_ANY_FIELD,
  ZERO_LENGTH_INJECTION,
} = MISC;
const {
  EXECUTE_ONLY,
  PAGE_WALK_LENGTH_4,
  MEMORY_TYPE_UC,
  MEMORY_TYPE_WB,
  PAGE_2MB,
  PAGE_1GB,
  INVEPT,
  ACCESSED_DIRTY,
  INVEPT_SINGLE_CONTEXT,
  INVEPT_ALL_CONTEXT,
} = EPT_CAP;

/** Bits of the MSRs that are not about controls; a part that is not named here is 0 for L1. */
const SUPPORTED_BASIC_HIGH = mask(
  VMCS_REGION_SIZE,
  MEMORY_TYPE,
  INS_OUTS_INFORMATION,
  TRUE_CONTROLS,
  NO_ERROR_CODE_CONSISTENCY_CHECK,
);
const SUPPORTED_MISC = mask(
  PREEMPTION_TIMER_RATE,
  EXIT_STORES_LMA,
  ACTIVITY_HLT,
  ACTIVITY_SHUTDOWN,
  ACTIVITY_WAIT_FOR_SIPI,
  CR3_TARGET_VALUES,
  MSR_LIST_SIZE,
  VMWRITE_ANY_FIELD,
  ZERO_LENGTH_INJECTION,
);
const SUPPORTED_EPT = mask(
  EXECUTE_ONLY,
  PAGE_WALK_LENGTH_4,
  MEMORY_TYPE_UC,
  MEMORY_TYPE_WB,
  PAGE_2MB,
  PAGE_1GB,
  INVEPT,
  ACCESSED_DIRTY,
  INVEPT_SINGLE_CONTEXT,
  INVEPT_ALL_CONTEXT,
);
const SUPPORTED_VPID = mask(...Object.values(VPID_CAP));

/** How L2's memory is translated; `shadow-on-ept`: L1 is not shown EPT. */
export type Paging = 'shadow-on-ept' | 'multi-dimensional';
const NEEDS_EPT: ReadonlySet<ControlKey> = new Set(['secondary.ENABLE_EPT', 'secondary.UNRESTRICTED_GUEST']);

function controlMask(group: ControlGroup, ept: boolean): number {
  const keys = SUPPORTED_CONTROLS.map(([key]) => key).filter((key) => ept || !NEEDS_EPT.has(key));
  const rows = keys.map(controlOf).filter((row) => row.group === group);
  return rows.reduce((all, row) => all | (1 << row.bit), 0);
}

/** The VMX capability MSRs that L1 reads on this hardware. */
export function capabilitiesForL1(hardware: VmxCapabilities, paging: Paging): VmxCapabilities {
  const ept = paging === 'multi-dimensional';
  const shown = Object.fromEntries(
    (Object.entries(hardware) as [CapabilityMsrName, Halves][]).map(([name, value]) => [
      name,
      shownMsr(name, value, ept),
    ]),
  ) as VmxCapabilities;
  return { ...shown, IA32_VMX_VMCS_ENUM: { low: highestIndex(shown), high: 0 } };
}

function shownMsr(name: CapabilityMsrName, { low, high }: Halves, ept: boolean): Halves {
  const group = CONTROL_GROUPS.find((row) => row.capability === name || row.trueCapability === name);
  if (group !== undefined) {
    const fixed = group.default1.reduce((all, bit) => all | (1 << bit), 0);
    return { low, high: (high & (controlMask(group.group, ept) | fixed)) >>> 0 };
  }
  if (name === 'IA32_VMX_BASIC') return { low, high: (high & SUPPORTED_BASIC_HIGH) >>> 0 };
  if (name === 'IA32_VMX_MISC')
    return { low: (low & (ept ? SUPPORTED_MISC : SUPPORTED_MISC & ~mask(EXIT_STORES_LMA))) >>> 0, high: 0 };
  if (name === 'IA32_VMX_EPT_VPID_CAP')
    return { low: ept ? (low & SUPPORTED_EPT) >>> 0 : 0, high: (high & SUPPORTED_VPID) >>> 0 };
  return { low, high };
}

/** See: SDM A.9 VMCS Enumeration */
function highestIndex(capabilities: VmxCapabilities): number {
  return Math.max(...FIELDS.filter((field) => fieldExists(capabilities, field)).map((field) => field.encoding & 0x3fe));
}

const NAME_OF = new Map<number, CapabilityMsrName>(
  (Object.entries(CAPABILITY_MSRS) as [CapabilityMsrName, number][]).map(([name, index]) => [index, name]),
);

/** RDMSR of a capability MSR (480H..493H); undefined: it does not exist. */
export function capabilityMsr(shown: VmxCapabilities, index: number): Halves | undefined {
  const name = NAME_OF.get(index);
  return name === undefined ? undefined : shown[name];
}
