// SPDX-License-Identifier: Apache-2.0
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { CS, RSP, STATE } from '../state.ts';
import { ERROR_CODE, VECTOR } from './exceptions.ts';
import type { Event } from './exceptions.ts';
import { implicitClass } from './implicit-access.ts';
import { loadReal } from './segment-load.ts';
import { StackFrame } from './stack-frame.ts';

const frame = new StackFrame();

/** Through the interrupt vector table; no error code is pushed. See: SDM 21.1.4 Interrupt and Exception Handling. */
export function deliverReal(cpu: Processor, event: Event): void {
  const { words } = cpu;
  if (event.vector * 4 + 3 > cpu.get32(STATE.idtrLimit))
    return void cpu.fault(VECTOR.GP, event.vector * 8 + ERROR_CODE.idt);
  const entry = cpu.load32(cpu.getSigned(STATE.idtrBase) + event.vector * 4, implicitClass(cpu));
  if ((entry & 0xffff) > cpu.segmentLimit(CS)) cpu.fault(VECTOR.GP, 0);
  frame.onCurrent(cpu);
  for (const value of [cpu.rflags, cpu.selector(CS), words[STATE.rip >> 2]]) frame.push(value & 0xffff);
  if (cpu.faulted || !frame.store(cpu, 2)) return;
  cpu.setReg16(RSP, frame.pointer);
  loadReal(cpu, CS, entry >>> 16);
  cpu.rip = entry & 0xffff;
  words[STATE.flagsOther >> 2] &= ~(RFLAGS.IF | RFLAGS.TF | RFLAGS.RF | RFLAGS.AC);
  cpu.modeChanged();
}
