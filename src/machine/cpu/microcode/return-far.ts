// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { CS, RSP } from '../state.ts';
import {
  checkReturnCode,
  checkReturnOffset,
  checkReturnStack,
  commitReturnCode,
  commitReturnStack,
  dropInnerSegments,
} from './far-return.ts';
import type { MicrocodeRoutines } from './microcode.ts';
import { loadReal, loadVirtual8086 } from './segment-load.ts';
import { setStackPointer } from './stack-frame.ts';
import { popped, stackAt } from './stack-reader.ts';

/** RETF, with the bytes of parameters to release from the caller's stack (and the callee's). */
function returnFar(cpu: Processor, instruction: Instruction): number {
  const size = instruction.operandSize >> 3;
  const release = instruction.operandCount > 0 ? instruction.immediateLow & 0xffff : 0;
  if (!popped.read(cpu, size, 2)) return STATUS.fault;
  return cpu.realMode || cpu.virtual8086 ? returnReal(cpu, size, release) : returnProtected(cpu, size, release);
}

function returnReal(cpu: Processor, size: number, release: number): number {
  const offset = popped.values[0];
  if (offset > cpu.segmentLimit(CS)) return cpu.generalProtection();
  setStackPointer(cpu, stackAt(cpu, 2 * size + release));
  if (cpu.virtual8086) loadVirtual8086(cpu, CS, popped.halves[2] & 0xffff);
  else loadReal(cpu, CS, popped.halves[2] & 0xffff);
  cpu.rip = offset;
  cpu.modeChanged();
  return STATUS.next;
}

function returnProtected(cpu: Processor, size: number, release: number): number {
  const offset = popped.values[0];
  const selector = popped.halves[2] & 0xffff;
  if (!checkReturnCode(cpu, selector) || !checkReturnOffset(cpu, offset)) return STATUS.fault;
  if ((selector & 3) > cpu.cpl) return returnOuter(cpu, size, release, offset);
  const pointer = stackAt(cpu, 2 * size + release);
  setStackPointer(cpu, pointer);
  commitReturnCode(cpu);
  cpu.rip = offset;
  cpu.modeChanged();
  return STATUS.next;
}

function returnOuter(cpu: Processor, size: number, release: number, offset: number): number {
  if (!popped.read(cpu, size, 2, 2, release)) return STATUS.fault;
  const stack = popped.halves[6] & 0xffff;
  if (!checkReturnStack(cpu, stack, popped.halves[2] & 3)) return STATUS.fault;
  commitReturnCode(cpu);
  commitReturnStack(cpu, stack);
  dropInnerSegments(cpu);
  cpu.rip = offset;
  cpu.modeChanged();
  if (size === 8) cpu.setSigned(RSP * 8, popped.values[2] + release);
  else setStackPointer(cpu, popped.values[2] + release);
  return STATUS.next;
}

export const RETURN_FAR_MICROCODE: MicrocodeRoutines = { RETF: returnFar };
