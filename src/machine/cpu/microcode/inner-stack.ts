// SPDX-License-Identifier: Apache-2.0
import type { Processor } from '../processor.ts';
import { TR } from '../state.ts';
import { Descriptor, TYPE, isNull, tableAddress } from './descriptors.ts';
import { VECTOR, refuse } from './exceptions.ts';
import { implicitClass } from './implicit-access.ts';
import { checkStackSegment } from './segment-load.ts';

/** The stack that `readInnerStack` found. */
export const newStack = { descriptor: new Descriptor(), pointer: 0 };

/** Whether TR holds a 32-bit (or 64-bit) task-state segment. */
export function taskIs32(cpu: Processor): boolean {
  return (cpu.accessRights(TR) & 15) >= TYPE.tss32;
}

/**
 * Reads SS and rSP for a more privileged level from the task-state segment (outside IA-32e mode) into `newStack`, with
 * all checks of the stack segment. See: SDM 5.8.5 Stack Switching.
 */
export function readInnerStack(cpu: Processor, cpl: number): boolean {
  const wide = taskIs32(cpu);
  const offset = wide ? 4 + cpl * 8 : 2 + cpl * 4;
  if (offset + (wide ? 5 : 3) > cpu.segmentLimit(TR)) return refuse(cpu, VECTOR.TS, cpu.selector(TR) & 0xfffc);
  const at = tableAddress(cpu, cpu.segmentBase(TR), offset);
  const accessClass = implicitClass(cpu);
  newStack.pointer = wide ? cpu.load32(at, accessClass) : cpu.load16(at, accessClass);
  const selector = cpu.load16(at + (wide ? 4 : 2), accessClass);
  if (cpu.faulted) return false;
  if (isNull(selector)) return refuse(cpu, VECTOR.TS, 0);
  return checkStackSegment(cpu, selector, cpl, VECTOR.TS, newStack.descriptor);
}
