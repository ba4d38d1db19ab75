// SPDX-License-Identifier: Apache-2.0
// Table: whether an exit of L2 is L0's or L1's, and by which control of vmcs12. Every exit reason has one row.
// See: SDM 26.1 Instructions That Cause VM Exits, 26.2 Other Causes of VM Exits; paper.md 2.5

import { controlOf } from '../../arch/vmx/controls.ts';
import type { ControlGroup, ControlKey } from '../../arch/vmx/controls.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import type { ExitReasonName } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import type { VmcsView } from '../../arch/vmx/vmcs-view.ts';
import { controlRegisterToL1, exceptionToL1, ioToL1, msrToL1 } from './exit-conditions.ts';
import type { ExitOfL2 } from './exit-conditions.ts';

/** Whose exit it is: always one's, L1's if it set one of these controls, by a condition, or by what EPT12 says. */
export type Route =
  | { readonly to: 'L0' | 'L1' | 'EPT12' }
  | { readonly to: 'L1 if set'; readonly controls: readonly ControlKey[] }
  | { readonly to: 'L1 if'; readonly condition: (exit: ExitOfL2) => boolean };

export interface ExitRoute {
  readonly reason: ExitReasonName;
  readonly route: Route;
  readonly because: string;
}

const l0 = (reason: ExitReasonName, because: string): ExitRoute => ({ reason, route: { to: 'L0' }, because });
const l1 = (reason: ExitReasonName, because = 'exits always, and L1 may answer as it likes'): ExitRoute => ({
  reason,
  route: { to: 'L1' },
  because,
});
const ifSet = (reason: ExitReasonName, ...controls: ControlKey[]): ExitRoute => ({
  reason,
  route: { to: 'L1 if set', controls },
  because: 'L1 asked for it',
});
const byCondition = (reason: ExitReasonName, condition: (exit: ExitOfL2) => boolean, because: string): ExitRoute => ({
  reason,
  route: { to: 'L1 if', condition },
  because,
});
const byEpt12 = (reason: ExitReasonName): ExitRoute => ({
  reason,
  route: { to: 'EPT12' },
  because: 'EPT02 may just not have it yet: EPT12 decides',
});

const onlyL1 = 'only vmcs12 can have enabled it';
const notOffered = 'L0 offers no control that makes it exit';

// prettier-ignore
export const EXIT_ROUTES: readonly ExitRoute[] = [
  byCondition('EXCEPTION_NMI',      exceptionToL1,       'exceptions by L1\'s bitmap and page-fault filter; an NMI of the hardware is L0\'s'),
  l0('EXTERNAL_INTERRUPT',          'L0 is wanted; an interrupt for L1 it makes into an exit itself'),
  l1('TRIPLE_FAULT'),
  l0('INIT_SIGNAL',                 'L1\'s INIT is a virtual one'),
  l0('SIPI_SIGNAL',                 'L1\'s start-up IPI is a virtual one'),
  l0('IO_SMI',                      'there is no SMM'),
  l0('OTHER_SMI',                   'there is no SMM'),
  ifSet('INTERRUPT_WINDOW',         'primary.INTERRUPT_WINDOW_EXITING'),
  ifSet('NMI_WINDOW',               'primary.NMI_WINDOW_EXITING'),
  l1('TASK_SWITCH'),
  l1('CPUID'),
  l1('GETSEC'),
  ifSet('HLT',                      'primary.HLT_EXITING'),
  l1('INVD'),
  ifSet('INVLPG',                   'primary.INVLPG_EXITING'),
  ifSet('RDPMC',                    'primary.RDPMC_EXITING'),
  ifSet('RDTSC',                    'primary.RDTSC_EXITING'),
  l1('RSM'),
  l1('VMCALL',                      'VMX instructions of L2 are L1\'s to emulate: so there is a third level'),
  l1('VMCLEAR',                     'L2 is a hypervisor'),
  l1('VMLAUNCH',                    'L2 is a hypervisor'),
  l1('VMPTRLD',                     'L2 is a hypervisor'),
  l1('VMPTRST',                     'L2 is a hypervisor'),
  l1('VMREAD',                      'L2 is a hypervisor; what L1\'s bitmap lets pass does not exit'),
  l1('VMRESUME',                    'L2 is a hypervisor'),
  l1('VMWRITE',                     'L2 is a hypervisor; what L1\'s bitmap lets pass does not exit'),
  l1('VMOFF',                       'L2 is a hypervisor'),
  l1('VMON',                        'L2 is a hypervisor'),
  byCondition('CR_ACCESS',          controlRegisterToL1, 'by L1\'s masks, shadows and CR3 and CR8 controls'),
  ifSet('DR_ACCESS',                'primary.MOV_DR_EXITING'),
  byCondition('IO_INSTRUCTION',     ioToL1,              'by L1\'s I/O bitmaps'),
  byCondition('MSR_READ',           msrToL1,             'by L1\'s MSR bitmap'),
  byCondition('MSR_WRITE',          msrToL1,             'by L1\'s MSR bitmap'),
  l0('INVALID_STATE',               'vmcs12 has passed the same checks: vmcs02 was made wrong'),
  l0('MSR_LOAD_FAIL',               'the hardware\'s list is L0\'s'),
  ifSet('MWAIT_INSTRUCTION',        'primary.MWAIT_EXITING'),
  l1('MONITOR_TRAP_FLAG',           'L1 set the control, or injected the event'),
  ifSet('MONITOR_INSTRUCTION',      'primary.MONITOR_EXITING'),
  ifSet('PAUSE_INSTRUCTION',        'primary.PAUSE_EXITING', 'secondary.PAUSE_LOOP_EXITING'),
  l0('MCE_DURING_VMENTRY',          'a machine check is the machine\'s'),
  ifSet('TPR_BELOW_THRESHOLD',      'primary.USE_TPR_SHADOW'),
  ifSet('APIC_ACCESS',              'secondary.VIRTUALIZE_APIC_ACCESSES'),
  l1('EOI_INDUCED',                 onlyL1),
  ifSet('GDTR_IDTR',                'secondary.DESCRIPTOR_TABLE_EXITING'),
  ifSet('LDTR_TR',                  'secondary.DESCRIPTOR_TABLE_EXITING'),
  byEpt12('EPT_VIOLATION'),
  byEpt12('EPT_MISCONFIG'),
  l1('INVEPT',                      'L2 is a hypervisor'),
  ifSet('RDTSCP',                   'primary.RDTSC_EXITING'),
  ifSet('PREEMPTION_TIMER',         'pin.ACTIVATE_VMX_PREEMPTION_TIMER'),
  l1('INVVPID',                     'L2 is a hypervisor'),
  ifSet('WBINVD',                   'secondary.WBINVD_EXITING'),
  l1('XSETBV'),
  l1('APIC_WRITE',                  onlyL1),
  ifSet('RDRAND',                   'secondary.RDRAND_EXITING'),
  ifSet('INVPCID',                  'primary.INVLPG_EXITING'),
  l1('VMFUNC',                      onlyL1),
  l1('ENCLS',                       onlyL1),
  ifSet('RDSEED',                   'secondary.RDSEED_EXITING'),
  l0('PML_FULL',                    notOffered),
  l1('XSAVES',                      onlyL1),
  l1('XRSTORS',                     onlyL1),
  l1('PCONFIG',                     onlyL1),
  l0('SPP_EVENT',                   notOffered),
  ifSet('UMWAIT',                   'primary.RDTSC_EXITING'),
  ifSet('TPAUSE',                   'primary.RDTSC_EXITING'),
  l1('LOADIWKEY',                   onlyL1),
  l1('ENCLV',                       onlyL1),
  l1('ENQCMD_PASID_FAILURE',        onlyL1),
  l1('ENQCMDS_PASID_FAILURE',       onlyL1),
  l0('BUS_LOCK',                    notOffered),
  l0('NOTIFY',                      notOffered),
  l1('SEAMCALL'),
  l1('TDCALL'),
  l1('RDMSRLIST',                   onlyL1),
  l1('WRMSRLIST',                   onlyL1),
];

/** By basic exit reason; undefined for numbers that the manual does not define. */
const BY_REASON: readonly (ExitRoute | undefined)[] = EXIT_ROUTES.reduce<ExitRoute[]>((routes, route) => {
  routes[EXIT_REASON[route.reason]] = route;
  return routes;
}, []);

/** The row of a basic exit reason. */
export function exitRoute(reason: number): ExitRoute | undefined {
  return BY_REASON[reason];
}

const FIELD: { readonly [Group in ControlGroup]?: number } = {
  pin: OFFSET.PIN_BASED_VM_EXEC_CONTROL,
  primary: OFFSET.CPU_BASED_VM_EXEC_CONTROL,
  secondary: OFFSET.SECONDARY_VM_EXEC_CONTROL,
};

/** Whether a VMCS sets a control; secondary ones count as 0 unless the primary controls activate them. */
export function controlIsSet(view: VmcsView, key: ControlKey): boolean {
  const { group, bit } = controlOf(key);
  const value = view.low(FIELD[group] as number);
  if (group === 'secondary' && view.low(OFFSET.CPU_BASED_VM_EXEC_CONTROL) < 0x80000000) return false;
  return ((value >>> bit) & 1) !== 0;
}

/** Whose an exit is; 'EPT12': the paging scheme has to look. */
export function ownerOf(route: Route, exit: ExitOfL2): 'L0' | 'L1' | 'EPT12' {
  // prettier-ignore
  switch (route.to) {
    case 'L1 if set': return route.controls.some((key) => controlIsSet(exit.vmcs12, key)) ? 'L1' : 'L0';
    case 'L1 if':     return route.condition(exit) ? 'L1' : 'L0';
    default:          return route.to;
  }
}
