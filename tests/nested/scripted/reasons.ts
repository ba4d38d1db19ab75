// SPDX-License-Identifier: Apache-2.0
// Table: exit reasons that no case produces on a profile, and what the processor lacks for them. Every other reason must
// have a case on that profile, whose exits the test sees.
import { CpuidModel } from '../../../src/arch/cpuid.ts';
import type { CpuidResult } from '../../../src/arch/cpuid.ts';
import { BASIC_HIGH, supports } from '../../../src/arch/vmx/capabilities.ts';
import { extract } from '../../../src/arch/vmx/bit-field.ts';
import type { ControlKey } from '../../../src/arch/vmx/controls.ts';
import type { ExitReasonName } from '../../../src/arch/vmx/exit-reasons.ts';
import { PROFILES } from '../../../src/arch/vmx/profiles.ts';
import type { ProfileName } from '../../../src/arch/vmx/profiles.ts';
import type { MsrState } from '../../../src/machine/cpu/msr-state.ts';

/** What is asked: the capability MSRs of a profile, CPUID, the other MSRs of the machine. */
export interface Asked {
  readonly profile: ProfileName;
  readonly msrs: MsrState;
}

export interface Impossible {
  readonly reason: ExitReasonName;
  readonly because: string;
  /** Whether the processor is so. */
  readonly holds: (asked: Asked) => boolean;
}

const lacks = (reason: ExitReasonName, ...controls: ControlKey[]): Impossible => ({
  reason,
  because: `${controls.join(', ')} cannot be 1`,
  holds: ({ profile }) => controls.every((control) => !supports(PROFILES[profile], control)),
});
const because = (reason: ExitReasonName, sentence: string, holds: Impossible['holds']): Impossible => ({
  ...{ reason, because: sentence, holds },
});

const dualMonitor = ({ profile }: Asked): boolean =>
  extract(BASIC_HIGH.DUAL_MONITOR_TREATMENT, PROFILES[profile].IA32_VMX_BASIC?.high ?? 0) !== 0;

const cpuid = (eax: number, ecx: number): CpuidResult =>
  new CpuidModel({ frequencyHz: 1e9, crystalHz: 1e8, processors: 1, physicalAddressBits: 39, edits: [] }).leaf(
    eax,
    ecx,
    { apicId: 0, apicEnabled: true, osxsave: true, monitorEnabled: true, code64: true },
  );
const SMX = 1 << 6;
const IA32_MTRRCAP = 0xfe;
const SEAMRR = 1n << 15n;
const IA32_MCG_CAP = 0x179;
const BANKS = 0xffn;
const noSeam = ({ msrs }: Asked): boolean => (msrs.get(IA32_MTRRCAP) & SEAMRR) === 0n;
const noSupervisorState = (): boolean => (cpuid(0xd, 1).ecx | cpuid(0xd, 1).edx) === 0;

// prettier-ignore
export const IMPOSSIBLE: readonly Impossible[] = [
  because('IO_SMI',        'SMIs exit only under the dual-monitor treatment', (asked) => !dualMonitor(asked)),
  because('OTHER_SMI',     'SMIs exit only under the dual-monitor treatment', (asked) => !dualMonitor(asked)),
  because('RSM',           'RSM exits only in SMM, under the dual-monitor treatment; it is undefined elsewhere', (asked) => !dualMonitor(asked)),
  because('GETSEC',        'CPUID shows no SMX: CR4.SMXE cannot be 1, and GETSEC is undefined', () => (cpuid(1, 0).ecx & SMX) === 0),
  because('MCE_DURING_VMENTRY', 'no bank reports machine checks', ({ msrs }) => (msrs.get(IA32_MCG_CAP) & BANKS) === 0n),
  because('XSAVES',        'IA32_XSS has no bit that can be 1', noSupervisorState),
  because('XRSTORS',       'IA32_XSS has no bit that can be 1', noSupervisorState),
  because('SEAMCALL',      'there is no SEAM range: SEAMCALL is undefined', noSeam),
  because('TDCALL',        'there is no SEAM range: TDCALL is undefined', noSeam),
  lacks('EOI_INDUCED',     'secondary.VIRTUAL_INTERRUPT_DELIVERY'),
  lacks('APIC_WRITE',      'secondary.APIC_REGISTER_VIRTUALIZATION', 'secondary.VIRTUAL_INTERRUPT_DELIVERY'),
  lacks('VMFUNC',          'secondary.ENABLE_VM_FUNCTIONS'),
  lacks('ENCLS',           'secondary.ENABLE_ENCLS_EXITING'),
  lacks('ENCLV',           'secondary.ENABLE_ENCLV_EXITING'),
  lacks('PML_FULL',        'secondary.ENABLE_PML'),
  lacks('PCONFIG',         'secondary.ENABLE_PCONFIG'),
  lacks('SPP_EVENT',       'secondary.SUB_PAGE_WRITE_PERMISSIONS'),
  lacks('UMWAIT',          'secondary.ENABLE_USER_WAIT_AND_PAUSE'),
  lacks('TPAUSE',          'secondary.ENABLE_USER_WAIT_AND_PAUSE'),
  lacks('LOADIWKEY',       'tertiary.LOADIWKEY_EXITING'),
  lacks('ENQCMD_PASID_FAILURE',  'secondary.PASID_TRANSLATION'),
  lacks('ENQCMDS_PASID_FAILURE', 'secondary.PASID_TRANSLATION'),
  lacks('BUS_LOCK',        'secondary.VMM_BUS_LOCK_DETECTION'),
  lacks('NOTIFY',          'secondary.INSTRUCTION_TIMEOUT'),
  lacks('RDMSRLIST',       'tertiary.ENABLE_MSR_LIST_INSTRUCTIONS'),
  lacks('WRMSRLIST',       'tertiary.ENABLE_MSR_LIST_INSTRUCTIONS'),
  // On the paper profile.
  lacks('GDTR_IDTR',         'secondary.DESCRIPTOR_TABLE_EXITING'),
  lacks('LDTR_TR',           'secondary.DESCRIPTOR_TABLE_EXITING'),
  lacks('RDTSCP',            'secondary.ENABLE_RDTSCP'),
  lacks('WBINVD',            'secondary.WBINVD_EXITING'),
  lacks('RDRAND',            'secondary.RDRAND_EXITING'),
  lacks('RDSEED',            'secondary.RDSEED_EXITING'),
  lacks('INVPCID',           'secondary.ENABLE_INVPCID'),
  lacks('PREEMPTION_TIMER',  'pin.ACTIVATE_VMX_PREEMPTION_TIMER'),
  lacks('MONITOR_TRAP_FLAG', 'primary.MONITOR_TRAP_FLAG'),
];
