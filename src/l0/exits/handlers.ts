// SPDX-License-Identifier: Apache-2.0
// Table: who serves which exit of L1 (and of L2, where L1 leaves it to L0).

import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import type { ExitReasonName } from '../../arch/vmx/exit-reasons.ts';
import type { Vcpu } from '../vcpu.ts';
import { controlRegisterAccess } from './control-register-access.ts';
import { cpuid } from './cpuid.ts';
import { apicAccess, eptMisconfiguration, eptViolation } from './device-memory.ts';
import { event, exceptionOrNmi, hlt, tripleFault } from './hlt.ts';
import { cacheInstruction, rdtsc, taskSwitch, undefinedInstruction, vmxInstruction, xsetbv } from './instructions.ts';
import { ioInstruction } from './io.ts';
import { rdmsr, wrmsr } from './msr.ts';

/** Serves an exit: changes the state of the virtual CPU. `reason` is the basic exit reason. */
export type ExitHandler = (vcpu: Vcpu, reason: number) => void;

// prettier-ignore
const ROWS: readonly (readonly [ExitReasonName, ExitHandler])[] = [
  ['EXCEPTION_NMI',        exceptionOrNmi],
  ['EXTERNAL_INTERRUPT',   event],
  ['TRIPLE_FAULT',         tripleFault],
  ['INIT_SIGNAL',          event],
  ['INTERRUPT_WINDOW',     event],
  ['NMI_WINDOW',           event],
  ['TASK_SWITCH',          taskSwitch],
  ['CPUID',                cpuid],
  ['GETSEC',               undefinedInstruction],
  ['HLT',                  hlt],
  ['INVD',                 cacheInstruction],
  ['RDTSC',                rdtsc],
  ['VMCALL',               vmxInstruction],
  ['VMCLEAR',              vmxInstruction],
  ['VMLAUNCH',             vmxInstruction],
  ['VMPTRLD',              vmxInstruction],
  ['VMPTRST',              vmxInstruction],
  ['VMREAD',               vmxInstruction],
  ['VMRESUME',             vmxInstruction],
  ['VMWRITE',              vmxInstruction],
  ['VMOFF',                vmxInstruction],
  ['VMON',                 vmxInstruction],
  ['CR_ACCESS',            controlRegisterAccess],
  ['IO_INSTRUCTION',       ioInstruction],
  ['MSR_READ',             rdmsr],
  ['MSR_WRITE',            wrmsr],
  ['MWAIT_INSTRUCTION',    undefinedInstruction],
  ['MONITOR_INSTRUCTION',  undefinedInstruction],
  ['APIC_ACCESS',          apicAccess],
  ['EPT_VIOLATION',        eptViolation],
  ['EPT_MISCONFIG',        eptMisconfiguration],
  ['INVEPT',               vmxInstruction],
  ['INVVPID',              vmxInstruction],
  ['WBINVD',               cacheInstruction],
  ['XSETBV',               xsetbv],
  ['VMFUNC',               vmxInstruction],
];

/** By basic exit reason; undefined where no control of vmcs01 makes L1 exit. */
export const EXIT_HANDLERS: readonly (ExitHandler | undefined)[] = byNumber();

function byNumber(): (ExitHandler | undefined)[] {
  const handlers = new Map(ROWS.map(([name, handler]) => [EXIT_REASON[name], handler]));
  return Array.from({ length: Math.max(...handlers.keys()) + 1 }, (_, reason) => handlers.get(reason));
}
