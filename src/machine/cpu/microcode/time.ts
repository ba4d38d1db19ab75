// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import type { MutableHalves } from '../environment.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR4 } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { RAX, RCX, RDX, STATE } from '../state.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';

const counter: MutableHalves = { low: 0, high: 0 };

/** The counter as software on this processor sees it: in VMX non-root operation offset and scaled. */
export function visibleTsc(cpu: Processor): Readonly<MutableHalves> {
  const { tsc, vmx } = cpu.environment;
  tsc.read(counter);
  if (cpu.words[STATE.nonRoot >> 2] !== 0) vmx?.guestTsc(cpu, counter);
  return counter;
}

function readCounter(cpu: Processor): void {
  const { low, high } = visibleTsc(cpu);
  cpu.setReg32(RAX, low);
  cpu.setReg32(RDX, high);
}

function forbidden(cpu: Processor, bit: number, whenSet: boolean): boolean {
  return cpu.cpl !== 0 && ((cpu.cr4 & bit) !== 0) === whenSet;
}

function rdtsc(cpu: Processor, instruction: Instruction): number {
  if (forbidden(cpu, CR4.TSD, true)) return cpu.generalProtection();
  if (intercepted(cpu, instruction, 'RDTSC')) return INTERCEPTED;
  readCounter(cpu);
  return STATUS.next;
}

function rdtscp(cpu: Processor, instruction: Instruction): number {
  if (forbidden(cpu, CR4.TSD, true)) return cpu.generalProtection();
  if (intercepted(cpu, instruction, 'RDTSCP')) return INTERCEPTED;
  readCounter(cpu);
  cpu.setReg32(RCX, cpu.get32(STATE.tscAux));
  return STATUS.next;
}

function rdpid(cpu: Processor, instruction: Instruction): number {
  cpu.setReg32(instruction.operands[0].register, cpu.get32(STATE.tscAux));
  return STATUS.next;
}

/** There is no performance counter: CPUID leaf 0AH says version 0. */
function rdpmc(cpu: Processor, instruction: Instruction): number {
  if (forbidden(cpu, CR4.PCE, false)) return cpu.generalProtection();
  return intercepted(cpu, instruction, 'RDPMC') ? INTERCEPTED : cpu.generalProtection();
}

export const TIME_MICROCODE: MicrocodeRoutines = { RDTSC: rdtsc, RDTSCP: rdtscp, RDPID: rdpid, RDPMC: rdpmc };
