// SPDX-License-Identifier: Apache-2.0
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { RSP, SS, STATE } from '../state.ts';
import { RIGHTS } from './descriptors.ts';
import { VECTOR } from './exceptions.ts';
import {
  checkReturnCode,
  checkReturnOffset,
  checkReturnStack,
  commitReturnCode,
  commitReturnStack,
  dropInnerSegments,
} from './far-return.ts';
import { changeableFlags } from './flags.ts';
import { setStackPointer } from './stack-frame.ts';
import { popped } from './stack-reader.ts';

/** IRET in IA-32e mode: from 64-bit code SS:RSP are always popped. See: SDM 6.14.3 IRET in IA-32e Mode. */
export function returnLong(cpu: Processor, operandSize: number): void {
  if (cpu.words[STATE.flagsOther >> 2] & RFLAGS.NT) return void cpu.fault(VECTOR.GP, 0);
  const size = operandSize >> 3;
  const from64 = cpu.code64;
  if (!popped.read(cpu, size, from64 ? 5 : 3)) return;
  const selector = popped.halves[2] & 0xffff;
  if (!checkReturnCode(cpu, selector)) return;
  const outer = (selector & 3) > cpu.cpl;
  const popsStack = from64 || outer;
  if (!from64 && outer && !popped.read(cpu, size, 2, 3)) return;
  const stack = popped.halves[8] & 0xffff;
  if (popsStack && !checkReturnStack(cpu, stack, selector & 3)) return;
  const offset = popped.values[0];
  if (!checkReturnOffset(cpu, offset)) return;
  loadReturnedFlags(cpu, popped.halves[4], operandSize);
  commitReturnCode(cpu);
  if (popsStack) commitReturnStack(cpu, stack);
  if (outer) dropInnerSegments(cpu);
  cpu.rip = offset;
  cpu.modeChanged();
  if (popsStack) loadReturnedStackPointer(cpu, popped.halves[6], popped.halves[7]);
  else setStackPointer(cpu, popped.pointer);
}

/** As far as the level before the return may change them; VM never. */
export function loadReturnedFlags(cpu: Processor, image: number, operandSize: number): void {
  let mask = changeableFlags(cpu, operandSize);
  if (operandSize !== 16) {
    mask |= RFLAGS.RF;
    if (cpu.cpl === 0) mask |= RFLAGS.VIF | RFLAGS.VIP;
  }
  const flags = cpu.rflags;
  cpu.rflags = (flags & ~(mask | RFLAGS.RF)) | (image & mask);
}

/** To a 16-bit stack only SP is loaded. */
function loadReturnedStackPointer(cpu: Processor, low: number, high: number): void {
  if (!cpu.code64 && (cpu.accessRights(SS) & RIGHTS.big) === 0) return cpu.setReg16(RSP, low);
  cpu.words[RSP * 2] = low;
  cpu.words[RSP * 2 + 1] = high;
}
