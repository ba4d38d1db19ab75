// SPDX-License-Identifier: Apache-2.0
import type { Processor } from '../processor.ts';
import { CS, DS, ES, FS, GS, RSP, SS, STATE } from '../state.ts';
import { VECTOR } from './exceptions.ts';
import {
  checkReturnCode,
  checkReturnOffset,
  checkReturnStack,
  commitReturnCode,
  commitReturnStack,
  dropInnerSegments,
} from './far-return.ts';
import { loadReturnedFlags } from './iret-long.ts';
import { loadVirtual8086 } from './segment-load.ts';
import { setStackPointer } from './stack-frame.ts';
import { popped } from './stack-reader.ts';

/** IRET in protected mode outside IA-32e mode; EIP, CS and EFLAGS were read into `popped`. */
export function returnToProtected(cpu: Processor, operandSize: number): void {
  const size = operandSize >> 3;
  const selector = popped.halves[2] & 0xffff;
  const offset = popped.values[0];
  if (!checkReturnCode(cpu, selector)) return;
  const outer = (selector & 3) > cpu.cpl;
  if (outer && !popped.read(cpu, size, 2, 3)) return;
  const stack = popped.halves[8] & 0xffff;
  if (outer && !checkReturnStack(cpu, stack, selector & 3)) return;
  if (!checkReturnOffset(cpu, offset)) return;
  loadReturnedFlags(cpu, popped.halves[4], operandSize);
  commitReturnCode(cpu);
  if (outer) {
    commitReturnStack(cpu, stack);
    dropInnerSegments(cpu);
  }
  setStackPointer(cpu, outer ? popped.values[3] : popped.pointer);
  cpu.rip = offset;
  cpu.modeChanged();
}

/** IRETD at level 0 with VM set in the image. See: SDM 21.2.5 Entering Virtual-8086 Mode. */
export function returnToVirtual8086(cpu: Processor): void {
  if (!popped.read(cpu, 4, 6, 3)) return;
  const { values, halves } = popped;
  if (values[0] > 0xffff) return void cpu.fault(VECTOR.GP, 0);
  cpu.rflags = halves[4];
  cpu.words[STATE.cpl >> 2] = 3;
  [CS, SS, ES, DS, FS, GS].forEach((segment, i) =>
    loadVirtual8086(cpu, segment, halves[VIRTUAL_8086_ORDER[i] * 2] & 0xffff),
  );
  cpu.rip = values[0];
  cpu.setReg32(RSP, values[3]);
  cpu.modeChanged();
}

/** Places of CS, SS, ES, DS, FS, GS among the nine values. */
const VIRTUAL_8086_ORDER = [1, 4, 5, 6, 7, 8];
