// SPDX-License-Identifier: Apache-2.0
import type { CpuidResult } from '../../../arch/cpuid.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR4 } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { RAX, RBX, RCX, RDX } from '../state.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';
import { monitorEnabled } from './monitor.ts';

/** The four registers that CPUID gives on this processor now, for EAX and ECX. */
export function cpuidOf(cpu: Processor, eax: number, ecx: number): CpuidResult {
  const { cpuid, localApic } = cpu.environment;
  return cpuid.leaf(eax, ecx, {
    apicId: localApic.id,
    apicEnabled: localApic.globallyEnabled,
    osxsave: (cpu.cr4 & CR4.OSXSAVE) !== 0,
    monitorEnabled: monitorEnabled(cpu),
    code64: cpu.code64,
  });
}

function cpuid(cpu: Processor, instruction: Instruction): number {
  if (intercepted(cpu, instruction, 'CPUID')) return INTERCEPTED;
  const { eax, ebx, ecx, edx } = cpuidOf(cpu, cpu.reg32(RAX), cpu.reg32(RCX));
  cpu.setReg32(RAX, eax);
  cpu.setReg32(RBX, ebx);
  cpu.setReg32(RCX, ecx);
  cpu.setReg32(RDX, edx);
  return STATUS.next;
}

export const CPUID_MICROCODE: MicrocodeRoutines = { CPUID: cpuid };
