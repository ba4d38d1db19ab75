// SPDX-License-Identifier: Apache-2.0
// The VMX capability MSRs: numbers, fields, and questions about a processor that shows them.
// See: SDM Appendix A VMX Capability Reporting Facility

import { extract } from './bit-field.ts';
import type { BitField } from './bit-field.ts';
import { controlGroup, controlOf } from './controls.ts';
import type { ControlGroup, ControlKey } from './controls.ts';
import type { VmcsField } from './fields.ts';

/** An unsigned 64-bit value in two halves, each 0..2^32-1. */
export interface Halves {
  readonly low: number;
  readonly high: number;
}

// prettier-ignore
export const CAPABILITY_MSRS = {
  IA32_VMX_BASIC:               0x480,
  IA32_VMX_PINBASED_CTLS:       0x481,
  IA32_VMX_PROCBASED_CTLS:      0x482,
  IA32_VMX_EXIT_CTLS:           0x483,
  IA32_VMX_ENTRY_CTLS:          0x484,
  IA32_VMX_MISC:                0x485,
  IA32_VMX_CR0_FIXED0:          0x486,
  IA32_VMX_CR0_FIXED1:          0x487,
  IA32_VMX_CR4_FIXED0:          0x488,
  IA32_VMX_CR4_FIXED1:          0x489,
  IA32_VMX_VMCS_ENUM:           0x48a,
  IA32_VMX_PROCBASED_CTLS2:     0x48b,
  IA32_VMX_EPT_VPID_CAP:        0x48c,
  IA32_VMX_TRUE_PINBASED_CTLS:  0x48d,
  IA32_VMX_TRUE_PROCBASED_CTLS: 0x48e,
  IA32_VMX_TRUE_EXIT_CTLS:      0x48f,
  IA32_VMX_TRUE_ENTRY_CTLS:     0x490,
  IA32_VMX_VMFUNC:              0x491,
  IA32_VMX_PROCBASED_CTLS3:     0x492,
  IA32_VMX_EXIT_CTLS2:          0x493,
} as const;

export type CapabilityMsrName = keyof typeof CAPABILITY_MSRS;

/** What a processor shows. A name that is absent is an MSR that does not exist: RDMSR of it is #GP. */
export type VmxCapabilities = { readonly [Name in CapabilityMsrName]?: Halves };

// The named fields of the MSRs that are not allowed-settings. Bits are those of one half.
// prettier-ignore
export const BASIC_LOW = {
  VMCS_REVISION_ID:                     { low:  0, width: 31, title: 'VMCS revision identifier' },
} as const satisfies Record<string, BitField>;
// prettier-ignore
export const BASIC_HIGH = {
  VMCS_REGION_SIZE:                     { low:  0, width: 13, title: 'bytes to allocate for VMXON and VMCS regions' },
  PHYSICAL_ADDRESSES_32BIT:             { low: 16, width:  1, title: 'physical addresses of VMX structures limited to 32 bits' },
  DUAL_MONITOR_TREATMENT:               { low: 17, width:  1, title: 'dual-monitor treatment of SMI and SMM' },
  MEMORY_TYPE:                          { low: 18, width:  4, title: 'memory type for VMX structures' },
  INS_OUTS_INFORMATION:                 { low: 22, width:  1, title: 'VM-exit instruction information for INS and OUTS' },
  TRUE_CONTROLS:                        { low: 23, width:  1, title: 'IA32_VMX_TRUE_ MSRs exist' },
  NO_ERROR_CODE_CONSISTENCY_CHECK:      { low: 24, width:  1, title: 'hardware exceptions may be injected with or without error code' },
} as const satisfies Record<string, BitField>;
// prettier-ignore
export const MISC = {
  PREEMPTION_TIMER_RATE:                { low:  0, width:  5, title: 'TSC bit whose change counts the VMX-preemption timer down' },
  EXIT_STORES_LMA:                      { low:  5, width:  1, title: 'VM exits store IA32_EFER.LMA into "IA-32e mode guest"' },
  ACTIVITY_HLT:                         { low:  6, width:  1, title: 'activity state 1 (HLT)' },
  ACTIVITY_SHUTDOWN:                    { low:  7, width:  1, title: 'activity state 2 (shutdown)' },
  ACTIVITY_WAIT_FOR_SIPI:               { low:  8, width:  1, title: 'activity state 3 (wait-for-SIPI)' },
  PT_IN_VMX_OPERATION:                  { low: 14, width:  1, title: 'Intel PT can be used in VMX operation' },
  RDMSR_SMBASE_IN_SMM:                  { low: 15, width:  1, title: 'IA32_SMBASE can be read in SMM' },
  CR3_TARGET_VALUES:                    { low: 16, width:  9, title: 'number of CR3-target values' },
  MSR_LIST_SIZE:                        { low: 25, width:  3, title: 'recommended maximum of MSR lists: 512 * (N + 1)' },
  SMM_MONITOR_UNBLOCK_SMI:              { low: 28, width:  1, title: 'bit 2 of IA32_SMM_MONITOR_CTL can be set' },
  VMWRITE_ANY_FIELD:                    { low: 29, width:  1, title: 'VMWRITE can write exit-information fields' },
  ZERO_LENGTH_INJECTION:                { low: 30, width:  1, title: 'software events can be injected with instruction length 0' },
} as const satisfies Record<string, BitField>;
// prettier-ignore
export const EPT_CAP = {
  EXECUTE_ONLY:                         { low:  0, width:  1, title: 'execute-only translations' },
  PAGE_WALK_LENGTH_4:                   { low:  6, width:  1, title: 'page-walk length 4' },
  PAGE_WALK_LENGTH_5:                   { low:  7, width:  1, title: 'page-walk length 5' },
  MEMORY_TYPE_UC:                       { low:  8, width:  1, title: 'EPT paging structures of memory type uncacheable' },
  MEMORY_TYPE_WB:                       { low: 14, width:  1, title: 'EPT paging structures of memory type write-back' },
  PAGE_2MB:                             { low: 16, width:  1, title: 'EPT PDE can map a 2-MByte page' },
  PAGE_1GB:                             { low: 17, width:  1, title: 'EPT PDPTE can map a 1-GByte page' },
  INVEPT:                               { low: 20, width:  1, title: 'INVEPT' },
  ACCESSED_DIRTY:                       { low: 21, width:  1, title: 'accessed and dirty flags for EPT' },
  ADVANCED_EXIT_INFORMATION:            { low: 22, width:  1, title: 'advanced VM-exit information for EPT violations' },
  SUPERVISOR_SHADOW_STACK:              { low: 23, width:  1, title: 'supervisor shadow-stack control' },
  INVEPT_SINGLE_CONTEXT:                { low: 25, width:  1, title: 'single-context INVEPT' },
  INVEPT_ALL_CONTEXT:                   { low: 26, width:  1, title: 'all-context INVEPT' },
} as const satisfies Record<string, BitField>;
// prettier-ignore
export const VPID_CAP = {
  INVVPID:                              { low:  0, width:  1, title: 'INVVPID' },
  INVVPID_INDIVIDUAL_ADDRESS:           { low:  8, width:  1, title: 'individual-address INVVPID' },
  INVVPID_SINGLE_CONTEXT:               { low:  9, width:  1, title: 'single-context INVVPID' },
  INVVPID_ALL_CONTEXT:                  { low: 10, width:  1, title: 'all-context INVVPID' },
  INVVPID_RETAINING_GLOBALS:            { low: 11, width:  1, title: 'single-context-retaining-globals INVVPID' },
} as const satisfies Record<string, BitField>;

const NONE: Halves = { low: 0, high: 0 };
const ALL: Halves = { low: 0, high: 0xffffffff };

function effective(capabilities: VmxCapabilities, group: ControlGroup): Halves {
  const { capability, trueCapability, default1 } = controlGroup(group);
  const relaxed = trueCapability === undefined ? undefined : capabilities[trueCapability];
  return relaxed ?? capabilities[capability] ?? (default1.length === 0 ? NONE : ALL);
}

/** Bits of a control field that must be 1 ("allowed 0-settings"), as VM entry checks them. */
export function mustBeOne(capabilities: VmxCapabilities, group: ControlGroup): number {
  return group === 'tertiary' ? 0 : effective(capabilities, group).low;
}

/** Bits of a control field that may be 1 ("allowed 1-settings"), low half; as VM entry checks them. */
export function mayBeOne(capabilities: VmxCapabilities, group: ControlGroup): number {
  const { low, high } = effective(capabilities, group);
  return group === 'tertiary' ? low : high;
}

/** Whether the processor supports the 1-setting of a control. */
export function supports(capabilities: VmxCapabilities, key: ControlKey): boolean {
  const control = controlOf(key);
  return (mayBeOne(capabilities, control.group) & (1 << control.bit)) !== 0;
}

/** Whether a VMCS field exists on the processor; a field that does not gives VMREAD and VMWRITE error 12. */
export function fieldExists(capabilities: VmxCapabilities, field: VmcsField): boolean {
  return field.existsWhen === 'always' || field.existsWhen.some((key) => supports(capabilities, key));
}

/** The value of a named part of IA32_VMX_MISC. */
export function miscOf(capabilities: VmxCapabilities, part: keyof typeof MISC): number {
  return extract(MISC[part], (capabilities.IA32_VMX_MISC ?? NONE).low);
}

/** Whether IA32_VMX_EPT_VPID_CAP reports an EPT capability. */
export function eptSupports(capabilities: VmxCapabilities, part: keyof typeof EPT_CAP): boolean {
  return extract(EPT_CAP[part], (capabilities.IA32_VMX_EPT_VPID_CAP ?? NONE).low) !== 0;
}

/** Whether IA32_VMX_EPT_VPID_CAP reports a VPID capability. */
export function vpidSupports(capabilities: VmxCapabilities, part: keyof typeof VPID_CAP): boolean {
  return extract(VPID_CAP[part], (capabilities.IA32_VMX_EPT_VPID_CAP ?? NONE).high) !== 0;
}
