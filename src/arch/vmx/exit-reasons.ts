// SPDX-License-Identifier: Apache-2.0
// Basic exit reasons, in order, and what the exit-information fields hold for each.
// See: SDM Appendix C VMX Basic Exit Reasons

import type { BitLayout } from './bit-field.ts';
import type { InstructionInformationLayout } from './instruction-information.ts';
import * as Q from './qualifications.ts';

/**
 * What RIP in the guest-state area means, and what makes the exit happen:
 * `instruction`: an instruction that was not executed, RIP points at it, its length is valid;
 * `fault`: an exception or a memory access, RIP points at the instruction that was not completed;
 * `trap`: right after the instruction that caused it, RIP points at the next one;
 * `event`: something from outside, or a window; RIP points at the next instruction;
 * `entry`: VM entry failed after the checks on controls and host state; the guest did not run.
 */
export type ExitClass = 'instruction' | 'fault' | 'trap' | 'event' | 'entry';

/** `always`, in `some` cases of this reason, or `never`. */
export type Validity = 'always' | 'some' | 'never';

/** A qualification that is no set of bits: the whole natural-width field is one value. */
export type WholeQualification = 'none' | 'linear address' | 'displacement';

export interface ExitReasonRow<Name extends string = string> {
  readonly number: number;
  /** As KVM's trace events print it; where KVM has none, in its manner. */
  readonly name: Name;
  /** The manual's words. */
  readonly title: string;
  readonly class: ExitClass;
  readonly qualification: WholeQualification | BitLayout;
  /** VM_EXIT_INSTRUCTION_LEN */
  readonly instructionLength: Validity;
  /** Layout of VMX_INSTRUCTION_INFO, if the reason has it. */
  readonly instructionInformation: InstructionInformationLayout | 'none';
  /** GUEST_LINEAR_ADDRESS */
  readonly linearAddress: Validity;
  /** GUEST_PHYSICAL_ADDRESS */
  readonly physicalAddress: Validity;
  /** VM_EXIT_INTR_INFO */
  readonly interruptionInformation: Validity;
  /** IDT_VECTORING_INFO_FIELD: the exit can happen while an event is being delivered. */
  readonly idtVectoring: Validity;
}

type Information = Partial<
  Pick<ExitReasonRow, 'linearAddress' | 'physicalAddress' | 'interruptionInformation' | 'idtVectoring'>
>;

function row<const Name extends string>(
  number: number,
  name: Name,
  exitClass: ExitClass,
  qualification: WholeQualification | BitLayout,
  instructionLength: Validity,
  instructionInformation: InstructionInformationLayout | 'none',
  title: string,
  information: Information = {},
): ExitReasonRow<Name> {
  const none = {
    linearAddress: 'never',
    physicalAddress: 'never',
    interruptionInformation: 'never',
    idtVectoring: 'never',
  } as const;
  return {
    ...{ number, name, title, class: exitClass, qualification, instructionLength, instructionInformation },
    ...none,
    ...information,
  };
}

const delivery: Information = { idtVectoring: 'some' };

// 35, 38, 42 and 71 are not defined.
// prettier-ignore
export const EXIT_REASONS = [
  //   number, name,                  class,         qualification,     length,   information,      title
  row( 0, 'EXCEPTION_NMI',            'fault',       Q.DEBUG_EXCEPTION, 'some',   'none',           'Exception or non-maskable interrupt (NMI)', { interruptionInformation: 'always', idtVectoring: 'some' }),
  row( 1, 'EXTERNAL_INTERRUPT',       'event',       'none',            'never',  'none',           'External interrupt', { interruptionInformation: 'some' }),
  row( 2, 'TRIPLE_FAULT',             'fault',       'none',            'never',  'none',           'Triple fault'),
  row( 3, 'INIT_SIGNAL',              'event',       'none',            'never',  'none',           'INIT signal'),
  row( 4, 'SIPI_SIGNAL',              'event',       Q.SIPI,            'never',  'none',           'Start-up IPI (SIPI)'),
  row( 5, 'IO_SMI',                   'event',       Q.IO_INSTRUCTION,  'never',  'none',           'I/O system-management interrupt (SMI)', { linearAddress: 'some' }),
  row( 6, 'OTHER_SMI',                'event',       'none',            'never',  'none',           'Other SMI'),
  row( 7, 'INTERRUPT_WINDOW',         'event',       'none',            'never',  'none',           'Interrupt window'),
  row( 8, 'NMI_WINDOW',               'event',       'none',            'never',  'none',           'NMI window'),
  row( 9, 'TASK_SWITCH',              'instruction', Q.TASK_SWITCH,     'some',   'none',           'Task switch', delivery),
  row(10, 'CPUID',                    'instruction', 'none',            'always', 'none',           'CPUID'),
  row(11, 'GETSEC',                   'instruction', 'none',            'always', 'none',           'GETSEC'),
  row(12, 'HLT',                      'instruction', 'none',            'always', 'none',           'HLT'),
  row(13, 'INVD',                     'instruction', 'none',            'always', 'none',           'INVD'),
  row(14, 'INVLPG',                   'instruction', 'linear address',  'always', 'none',           'INVLPG'),
  row(15, 'RDPMC',                    'instruction', 'none',            'always', 'none',           'RDPMC'),
  row(16, 'RDTSC',                    'instruction', 'none',            'always', 'none',           'RDTSC'),
  row(17, 'RSM',                      'instruction', 'none',            'always', 'none',           'RSM'),
  row(18, 'VMCALL',                   'instruction', 'none',            'always', 'none',           'VMCALL'),
  row(19, 'VMCLEAR',                  'instruction', 'displacement',    'always', 'MEMORY',         'VMCLEAR'),
  row(20, 'VMLAUNCH',                 'instruction', 'none',            'always', 'none',           'VMLAUNCH'),
  row(21, 'VMPTRLD',                  'instruction', 'displacement',    'always', 'MEMORY',         'VMPTRLD'),
  row(22, 'VMPTRST',                  'instruction', 'displacement',    'always', 'MEMORY',         'VMPTRST'),
  row(23, 'VMREAD',                   'instruction', 'displacement',    'always', 'VMREAD_VMWRITE', 'VMREAD'),
  row(24, 'VMRESUME',                 'instruction', 'none',            'always', 'none',           'VMRESUME'),
  row(25, 'VMWRITE',                  'instruction', 'displacement',    'always', 'VMREAD_VMWRITE', 'VMWRITE'),
  row(26, 'VMOFF',                    'instruction', 'none',            'always', 'none',           'VMXOFF'),
  row(27, 'VMON',                     'instruction', 'displacement',    'always', 'MEMORY',         'VMXON'),
  row(28, 'CR_ACCESS',                'instruction', Q.CR_ACCESS,       'always', 'none',           'Control-register accesses', { linearAddress: 'some' }),
  row(29, 'DR_ACCESS',                'instruction', Q.DR_ACCESS,       'always', 'none',           'MOV DR'),
  row(30, 'IO_INSTRUCTION',           'instruction', Q.IO_INSTRUCTION,  'always', 'INS_OUTS',       'I/O instruction', { linearAddress: 'some' }),
  row(31, 'MSR_READ',                 'instruction', 'none',            'always', 'none',           'RDMSR'),
  row(32, 'MSR_WRITE',                'instruction', 'none',            'always', 'none',           'WRMSR'),
  row(33, 'INVALID_STATE',            'entry',       Q.INVALID_STATE,   'never',  'none',           'VM-entry failure due to invalid guest state'),
  row(34, 'MSR_LOAD_FAIL',            'entry',       Q.MSR_LOAD_FAIL,   'never',  'none',           'VM-entry failure due to MSR loading'),
  row(36, 'MWAIT_INSTRUCTION',        'instruction', Q.MWAIT,           'always', 'none',           'MWAIT'),
  row(37, 'MONITOR_TRAP_FLAG',        'trap',        'none',            'never',  'none',           'Monitor trap flag'),
  row(39, 'MONITOR_INSTRUCTION',      'instruction', 'none',            'always', 'none',           'MONITOR'),
  row(40, 'PAUSE_INSTRUCTION',        'instruction', 'none',            'always', 'none',           'PAUSE'),
  row(41, 'MCE_DURING_VMENTRY',       'entry',       'none',            'never',  'none',           'VM-entry failure due to machine-check event'),
  row(43, 'TPR_BELOW_THRESHOLD',      'trap',        'none',            'never',  'none',           'TPR below threshold'),
  row(44, 'APIC_ACCESS',              'fault',       Q.APIC_ACCESS,     'some',   'none',           'APIC access', delivery),
  row(45, 'EOI_INDUCED',              'trap',        Q.EOI_INDUCED,     'never',  'none',           'Virtualized EOI'),
  row(46, 'GDTR_IDTR',                'instruction', 'displacement',    'always', 'GDTR_IDTR',      'Access to GDTR or IDTR'),
  row(47, 'LDTR_TR',                  'instruction', 'displacement',    'always', 'LDTR_TR',        'Access to LDTR or TR'),
  row(48, 'EPT_VIOLATION',            'fault',       Q.EPT_VIOLATION,   'some',   'none',           'EPT violation', { linearAddress: 'some', physicalAddress: 'always', idtVectoring: 'some' }),
  row(49, 'EPT_MISCONFIG',            'fault',       'none',            'some',   'none',           'EPT misconfiguration', { physicalAddress: 'always', idtVectoring: 'some' }),
  row(50, 'INVEPT',                   'instruction', 'displacement',    'always', 'INVALIDATE',     'INVEPT'),
  row(51, 'RDTSCP',                   'instruction', 'none',            'always', 'none',           'RDTSCP'),
  row(52, 'PREEMPTION_TIMER',         'event',       'none',            'never',  'none',           'VMX-preemption timer expired'),
  row(53, 'INVVPID',                  'instruction', 'displacement',    'always', 'INVALIDATE',     'INVVPID'),
  row(54, 'WBINVD',                   'instruction', 'none',            'always', 'none',           'WBINVD or WBNOINVD'),
  row(55, 'XSETBV',                   'instruction', 'none',            'always', 'none',           'XSETBV'),
  row(56, 'APIC_WRITE',               'trap',        Q.APIC_WRITE,      'never',  'none',           'APIC write'),
  row(57, 'RDRAND',                   'instruction', 'none',            'always', 'REGISTER',       'RDRAND'),
  row(58, 'INVPCID',                  'instruction', 'displacement',    'always', 'INVALIDATE',     'INVPCID'),
  row(59, 'VMFUNC',                   'instruction', 'none',            'always', 'none',           'VMFUNC'),
  row(60, 'ENCLS',                    'instruction', 'none',            'always', 'none',           'ENCLS'),
  row(61, 'RDSEED',                   'instruction', 'none',            'always', 'REGISTER',       'RDSEED'),
  row(62, 'PML_FULL',                 'fault',       Q.PML_FULL,        'never',  'none',           'Page-modification log full', delivery),
  row(63, 'XSAVES',                   'instruction', 'displacement',    'always', 'MEMORY',         'XSAVES'),
  row(64, 'XRSTORS',                  'instruction', 'displacement',    'always', 'MEMORY',         'XRSTORS'),
  row(65, 'PCONFIG',                  'instruction', 'none',            'always', 'none',           'PCONFIG'),
  row(66, 'SPP_EVENT',                'fault',       Q.EPT_VIOLATION,   'never',  'none',           'SPP-related event', { linearAddress: 'some', physicalAddress: 'always', idtVectoring: 'some' }),
  row(67, 'UMWAIT',                   'instruction', 'none',            'always', 'REGISTER',       'UMWAIT'),
  row(68, 'TPAUSE',                   'instruction', 'none',            'always', 'REGISTER',       'TPAUSE'),
  row(69, 'LOADIWKEY',                'instruction', 'none',            'always', 'LOADIWKEY',      'LOADIWKEY'),
  row(70, 'ENCLV',                    'instruction', 'none',            'always', 'none',           'ENCLV'),
  row(72, 'ENQCMD_PASID_FAILURE',     'instruction', 'none',            'always', 'none',           'ENQCMD PASID translation failure'),
  row(73, 'ENQCMDS_PASID_FAILURE',    'instruction', 'none',            'always', 'none',           'ENQCMDS PASID translation failure'),
  row(74, 'BUS_LOCK',                 'trap',        'none',            'never',  'none',           'Bus lock'),
  row(75, 'NOTIFY',                   'event',       'none',            'never',  'none',           'Instruction timeout', delivery),
  row(76, 'SEAMCALL',                 'instruction', 'none',            'always', 'none',           'SEAMCALL'),
  row(77, 'TDCALL',                   'instruction', 'none',            'always', 'none',           'TDCALL'),
  row(78, 'RDMSRLIST',                'instruction', 'none',            'always', 'none',           'RDMSRLIST'),
  row(79, 'WRMSRLIST',                'instruction', 'none',            'always', 'none',           'WRMSRLIST'),
] as const;

export type ExitReasonName = (typeof EXIT_REASONS)[number]['name'];

/** Numbers by name. */
export const EXIT_REASON = Object.fromEntries(EXIT_REASONS.map((reason) => [reason.name, reason.number])) as {
  readonly [Name in ExitReasonName]: number;
};

const BY_NUMBER = new Map<number, ExitReasonRow<ExitReasonName>>(EXIT_REASONS.map((reason) => [reason.number, reason]));

/** The row of a basic exit reason (bits 15:0 of VM_EXIT_REASON). */
export function exitReason(number: number): ExitReasonRow<ExitReasonName> | undefined {
  return BY_NUMBER.get(number);
}

/** VM_EXIT_REASON as bits. See: SDM 25.9.1 Basic VM-Exit Information */
// prettier-ignore
export const EXIT_REASON_FIELD = {
  BASIC_REASON:       { low:  0, width: 16, title: 'basic exit reason' },
  BUS_LOCK:           { low: 26, width:  1, title: 'the instruction before the exit asserted a bus lock' },
  ENCLAVE:            { low: 27, width:  1, title: 'incident to enclave mode' },
  PENDING_MTF:        { low: 28, width:  1, title: 'pending MTF VM exit' },
  FROM_ROOT:          { low: 29, width:  1, title: 'exit from VMX root operation' },
  ENTRY_FAILURE:      { low: 31, width:  1, title: 'VM-entry failure' },
} as const satisfies BitLayout;

/** Bit 31 of VM_EXIT_REASON, unsigned. */
export const ENTRY_FAILURE_BIT = 0x80000000;
