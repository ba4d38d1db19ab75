// SPDX-License-Identifier: Apache-2.0
// What our two processors show of VMX. Both share one base CPU and differ in these rows only; every capability MSR is
// derived from them. A profile is versioned: its rows never change once a snapshot can name it.

import { compose } from './bit-field.ts';
import { BASIC_HIGH, EPT_CAP, MISC, VPID_CAP, fieldExists } from './capabilities.ts';
import type { CapabilityMsrName, Halves, VmxCapabilities } from './capabilities.ts';
import { CONTROLS, CONTROL_GROUPS } from './controls.ts';
import type { ControlGroupRow, ControlKey } from './controls.ts';
import { VMCS_REGION_SIZE } from './encoding.ts';
import { FIELDS } from './fields.ts';

/** Of the layout in `encoding.ts`; bit 31 is the shadow-VMCS indicator and never part of it. */
export const VMCS_REVISION_ID = 0x7407_0001;

export const PROFILE_NAMES = ['paper-1', 'modern-1'] as const;
export type ProfileName = (typeof PROFILE_NAMES)[number];

type Shown = readonly [paper1: boolean, modern1: boolean];
const both: Shown = [true, true];
const modern: Shown = [false, true];

// A control that is not listed cannot be 1. Members of default1 need no row.
// prettier-ignore
export const PROFILE_CONTROLS: readonly (readonly [ControlKey, Shown])[] = [
  ['pin.EXTERNAL_INTERRUPT_EXITING',          both  ],
  ['pin.NMI_EXITING',                         both  ],
  ['pin.VIRTUAL_NMIS',                        both  ],
  ['pin.ACTIVATE_VMX_PREEMPTION_TIMER',       modern],
  ['primary.INTERRUPT_WINDOW_EXITING',        both  ],
  ['primary.USE_TSC_OFFSETTING',              both  ],
  ['primary.HLT_EXITING',                     both  ],
  ['primary.INVLPG_EXITING',                  both  ],
  ['primary.MWAIT_EXITING',                   both  ],
  ['primary.RDPMC_EXITING',                   both  ],
  ['primary.RDTSC_EXITING',                   both  ],
  ['primary.CR3_LOAD_EXITING',                both  ],
  ['primary.CR3_STORE_EXITING',               both  ],
  ['primary.CR8_LOAD_EXITING',                both  ],
  ['primary.CR8_STORE_EXITING',               both  ],
  ['primary.USE_TPR_SHADOW',                  both  ],
  ['primary.NMI_WINDOW_EXITING',              both  ],
  ['primary.MOV_DR_EXITING',                  both  ],
  ['primary.UNCONDITIONAL_IO_EXITING',        both  ],
  ['primary.USE_IO_BITMAPS',                  both  ],
  ['primary.MONITOR_TRAP_FLAG',               modern],
  ['primary.USE_MSR_BITMAPS',                 both  ],
  ['primary.MONITOR_EXITING',                 both  ],
  ['primary.PAUSE_EXITING',                   both  ],
  ['primary.ACTIVATE_SECONDARY_CONTROLS',     both  ],
  ['secondary.VIRTUALIZE_APIC_ACCESSES',      both  ],
  ['secondary.ENABLE_EPT',                    both  ],
  ['secondary.DESCRIPTOR_TABLE_EXITING',      modern],
  ['secondary.ENABLE_RDTSCP',                 modern],
  ['secondary.ENABLE_VPID',                   both  ],
  ['secondary.WBINVD_EXITING',                modern],
  ['secondary.UNRESTRICTED_GUEST',            modern],
  ['secondary.PAUSE_LOOP_EXITING',            modern],
  ['secondary.RDRAND_EXITING',                modern],
  ['secondary.ENABLE_INVPCID',                modern],
  ['secondary.VMCS_SHADOWING',                modern],
  ['secondary.RDSEED_EXITING',                modern],
  ['secondary.ENABLE_XSAVES_XRSTORS',         modern],
  ['secondary.USE_TSC_SCALING',               modern],
  ['exit.SAVE_DEBUG_CONTROLS',                both  ],
  ['exit.HOST_ADDRESS_SPACE_SIZE',            both  ],
  ['exit.ACKNOWLEDGE_INTERRUPT_ON_EXIT',      both  ],
  ['exit.SAVE_IA32_PAT',                      modern],
  ['exit.LOAD_IA32_PAT',                      modern],
  ['exit.SAVE_IA32_EFER',                     modern],
  ['exit.LOAD_IA32_EFER',                     modern],
  ['exit.SAVE_VMX_PREEMPTION_TIMER_VALUE',    modern],
  ['entry.LOAD_DEBUG_CONTROLS',               both  ],
  ['entry.IA32E_MODE_GUEST',                  both  ],
  ['entry.LOAD_IA32_PAT',                     modern],
  ['entry.LOAD_IA32_EFER',                    modern],
];

type Value = readonly [paper1: number, modern1: number];
const always = (value: number): Value => [value, value];
const onlyModern: Value = [0, 1];
const MEMORY_TYPE_WRITE_BACK = 6;

// prettier-ignore
const PROFILE_BASIC: { readonly [Part in keyof typeof BASIC_HIGH]?: Value } = {
  VMCS_REGION_SIZE:          always(VMCS_REGION_SIZE),
  MEMORY_TYPE:               always(MEMORY_TYPE_WRITE_BACK),
  INS_OUTS_INFORMATION:      always(1),
  TRUE_CONTROLS:             always(1),
};

// A TSC of 1 GHz shifted right by 5 stays far below the 429 MHz beyond which KVM gives the preemption timer up.
// prettier-ignore
const PROFILE_MISC: { readonly [Part in keyof typeof MISC]?: Value } = {
  PREEMPTION_TIMER_RATE:     always(5),
  EXIT_STORES_LMA:           onlyModern, // comes with unrestricted guest
  ACTIVITY_HLT:              always(1),
  ACTIVITY_SHUTDOWN:         always(1),
  ACTIVITY_WAIT_FOR_SIPI:    always(1),
  CR3_TARGET_VALUES:         always(4),
  VMWRITE_ANY_FIELD:         onlyModern,
  ZERO_LENGTH_INJECTION:     onlyModern,
};

// prettier-ignore
const PROFILE_EPT: { readonly [Part in keyof typeof EPT_CAP]?: Value } = {
  EXECUTE_ONLY:              onlyModern,
  PAGE_WALK_LENGTH_4:        always(1),
  MEMORY_TYPE_UC:            always(1),
  MEMORY_TYPE_WB:            always(1),
  PAGE_2MB:                  always(1),
  PAGE_1GB:                  onlyModern,
  INVEPT:                    always(1),
  ACCESSED_DIRTY:            onlyModern,
  INVEPT_SINGLE_CONTEXT:     always(1),
  INVEPT_ALL_CONTEXT:        always(1),
};

// prettier-ignore
const PROFILE_VPID: { readonly [Part in keyof typeof VPID_CAP]?: Value } = {
  INVVPID:                     always(1),
  INVVPID_INDIVIDUAL_ADDRESS:  onlyModern,
  INVVPID_SINGLE_CONTEXT:      always(1),
  INVVPID_ALL_CONTEXT:         always(1),
  INVVPID_RETAINING_GLOBALS:   onlyModern,
};

// See: SDM A.7 VMX-Fixed Bits in CR0: PE, NE and PG are fixed to 1, nothing to 0.
const CR0_FIXED0 = 0x80000021;
const CR0_FIXED1 = 0xffffffff;
// See: SDM A.8 VMX-Fixed Bits in CR4: VMXE is fixed to 1.
const CR4_FIXED0 = 0x2000;

/** The bits of CR4 that the base CPU has; the rest are fixed to 0 in VMX operation. */
// prettier-ignore
export const BASE_CPU_CR4: { readonly [bit: string]: number } = {
  VME:         1 <<  0,
  PVI:         1 <<  1,
  TSD:         1 <<  2,
  DE:          1 <<  3,
  PSE:         1 <<  4,
  PAE:         1 <<  5,
  MCE:         1 <<  6,
  PGE:         1 <<  7,
  PCE:         1 <<  8,
  OSFXSR:      1 <<  9,
  OSXMMEXCPT:  1 << 10,
  UMIP:        1 << 11,
  VMXE:        1 << 13,
  FSGSBASE:    1 << 16,
  PCIDE:       1 << 17,
  OSXSAVE:     1 << 18,
  SMEP:        1 << 20,
  SMAP:        1 << 21,
};

const bits = (numbers: Iterable<number>): number => {
  let mask = 0;
  for (const bit of numbers) mask |= 1 << bit;
  return mask >>> 0;
};

function column<Part extends string>(
  rows: { readonly [P in Part]?: Value },
  profile: number,
): { [P in Part]?: number } {
  const entries = Object.entries(rows) as [Part, Value][];
  return Object.fromEntries(entries.map(([part, values]) => [part, values[profile]])) as { [P in Part]?: number };
}

function controlMsrs(group: ControlGroupRow, shown: ReadonlySet<string>): [CapabilityMsrName, Halves][] {
  const named = CONTROLS.filter((row) => row.group === group.group && shown.has(`${row.group}.${row.name}`));
  const high = bits([...group.default1, ...named.map((row) => row.bit)]);
  const msrs: [CapabilityMsrName, Halves][] = [[group.capability, { low: bits(group.default1), high }]];
  if (group.trueCapability !== undefined) {
    const strict = group.default1.filter((bit) => !group.relaxedByTrue.includes(bit));
    msrs.push([group.trueCapability, { low: bits(strict), high }]);
  }
  return msrs;
}

/** Bits 9:1: the highest index of any field that the processor has. See: SDM A.9 VMCS Enumeration */
function vmcsEnum(capabilities: VmxCapabilities): number {
  const indices = FIELDS.filter((field) => fieldExists(capabilities, field)).map((field) => field.encoding & 0x3fe);
  return Math.max(...indices);
}

function build(profile: number): VmxCapabilities {
  const shown = new Set<string>(PROFILE_CONTROLS.filter((row) => row[1][profile]).map((row) => row[0]));
  const groups = CONTROL_GROUPS.filter((group) => group.group !== 'tertiary');
  const controls = Object.fromEntries(groups.flatMap((group) => controlMsrs(group, shown))) as VmxCapabilities;
  const half = (low: number): Halves => ({ low, high: 0 });
  return {
    ...controls,
    IA32_VMX_BASIC: { low: VMCS_REVISION_ID, high: compose(BASIC_HIGH, column(PROFILE_BASIC, profile)) },
    IA32_VMX_MISC: half(compose(MISC, column(PROFILE_MISC, profile))),
    IA32_VMX_CR0_FIXED0: half(CR0_FIXED0),
    IA32_VMX_CR0_FIXED1: half(CR0_FIXED1),
    IA32_VMX_CR4_FIXED0: half(CR4_FIXED0),
    IA32_VMX_CR4_FIXED1: half(Object.values(BASE_CPU_CR4).reduce((all, bit) => all | bit, 0) >>> 0),
    IA32_VMX_VMCS_ENUM: half(vmcsEnum(controls)),
    IA32_VMX_EPT_VPID_CAP: {
      low: compose(EPT_CAP, column(PROFILE_EPT, profile)),
      high: compose(VPID_CAP, column(PROFILE_VPID, profile)),
    },
  };
}

/** The capability MSRs of each profile. IA32_VMX_VMFUNC and those of tertiary controls do not exist. */
export const PROFILES: { readonly [Name in ProfileName]: VmxCapabilities } = {
  'paper-1': build(0),
  'modern-1': build(1),
};
