// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import type { MutableHalves } from '../environment.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR4 } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { RAX, RCX, RDX, STATE } from '../state.ts';
import { INTERCEPTED, PASSING, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';

const TWO_32 = 0x100000000;
const counter: MutableHalves = { low: 0, high: 0 };

/** The counter as software on this processor sees it: in VMX non-root operation offset and scaled. */
export function visibleTsc(cpu: Processor): Readonly<MutableHalves> {
  const { tsc, vmx } = cpu.environment;
  tsc.read(counter);
  if (cpu.words[STATE.nonRoot >> 2] !== 0) vmx?.guestTsc(cpu, counter);
  return counter;
}

/** The same to EDX:EAX; a single Number holds it unless someone has set a counter very far off. */
function readCounter(cpu: Processor): void {
  const { words } = cpu;
  const now = cpu.ticks + cpu.environment.tsc.ahead + cpu.guestTscAhead;
  words[RAX * 2 + 1] = words[RDX * 2 + 1] = 0;
  if (now === now) {
    words[RAX * 2] = now;
    words[RDX * 2] = Math.floor(now / TWO_32);
    return;
  }
  const { low, high } = visibleTsc(cpu);
  words[RAX * 2] = low;
  words[RDX * 2] = high;
}

function forbidden(cpu: Processor, bit: number, whenSet: boolean): boolean {
  return cpu.cpl !== 0 && ((cpu.cr4 & bit) !== 0) === whenSet;
}

function rdtsc(cpu: Processor, instruction: Instruction): number {
  if (forbidden(cpu, CR4.TSD, true)) return cpu.generalProtection();
  if ((cpu.passing & PASSING.RDTSC) === 0 && intercepted(cpu, instruction, 'RDTSC')) return INTERCEPTED;
  readCounter(cpu);
  return STATUS.next;
}

/** What a processor does not have is undefined before anything else is asked. */
const hidden = (cpu: Processor): boolean => cpu.environment.vmx?.rdtscpEnabled === false;

function rdtscp(cpu: Processor, instruction: Instruction): number {
  if (forbidden(cpu, CR4.TSD, true)) return hidden(cpu) ? cpu.undefinedOpcode() : cpu.generalProtection();
  if ((cpu.passing & PASSING.RDTSCP) === 0 && intercepted(cpu, instruction, 'RDTSCP')) return INTERCEPTED;
  readCounter(cpu);
  cpu.setReg32(RCX, cpu.get32(STATE.tscAux));
  return STATUS.next;
}

function rdpid(cpu: Processor, instruction: Instruction): number {
  if (hidden(cpu)) return cpu.undefinedOpcode();
  cpu.setReg32(instruction.operands[0].register, cpu.get32(STATE.tscAux));
  return STATUS.next;
}

/** There is no performance counter: CPUID leaf 0AH says version 0. */
function rdpmc(cpu: Processor, instruction: Instruction): number {
  if (forbidden(cpu, CR4.PCE, false)) return cpu.generalProtection();
  return intercepted(cpu, instruction, 'RDPMC') ? INTERCEPTED : cpu.generalProtection();
}

export const TIME_MICROCODE: MicrocodeRoutines = { RDTSC: rdtsc, RDTSCP: rdtscp, RDPID: rdpid, RDPMC: rdpmc };
