// SPDX-License-Identifier: Apache-2.0
import type { Processor } from '../processor.ts';
import { DS, ES, FS, GS, SS, STATE } from '../state.ts';
import { Descriptor, RIGHTS, fetchDescriptor, isNull, markAccessed } from './descriptors.ts';
import { canonical } from './effective-address.ts';
import { VECTOR, refuse } from './exceptions.ts';
import { checkStackSegment, loadCode, loadFrom, loadNull } from './segment-load.ts';

/** What far RET and IRET share: checks of the segments returned to, and the change of privilege level. */
const returnCode = new Descriptor();
const returnStack = new Descriptor();

/** The code segment returned to: at the same or an outer level. See: SDM 5.8.6 Returning from a Called Procedure. */
export function checkReturnCode(cpu: Processor, selector: number): boolean {
  if (isNull(selector)) return refuse(cpu, VECTOR.GP, 0);
  if (!fetchDescriptor(cpu, selector, returnCode)) return false;
  const code = selector & 0xfffc;
  const rpl = selector & 3;
  const level = returnCode.conforming ? returnCode.dpl <= rpl : returnCode.dpl === rpl;
  if (!returnCode.code || rpl < cpu.cpl || !level) return refuse(cpu, VECTOR.GP, code);
  if (cpu.longMode && returnCode.long && returnCode.big) return refuse(cpu, VECTOR.GP, code);
  if (!returnCode.present) return refuse(cpu, VECTOR.NP, code);
  return markAccessed(cpu, returnCode);
}

/** Whether code returned to is 64-bit. */
function returnsTo64(cpu: Processor): boolean {
  return cpu.longMode && returnCode.long;
}

/** The instruction pointer returned to, against the limit of `returnCode` or for being canonical. */
export function checkReturnOffset(cpu: Processor, offset: number): boolean {
  const inside = returnsTo64(cpu) ? canonical(offset) : offset >= 0 && offset <= returnCode.limit;
  return inside || refuse(cpu, VECTOR.GP, 0);
}

/** The stack segment returned to, at the level of the code segment; null for 64-bit code below level 3. */
export function checkReturnStack(cpu: Processor, selector: number, rpl: number): boolean {
  if (!isNull(selector)) return checkStackSegment(cpu, selector, rpl, VECTOR.GP, returnStack);
  return (returnsTo64(cpu) && rpl !== 3) || refuse(cpu, VECTOR.GP, 0);
}

/** Loads CS, and the privilege level with it. */
export function commitReturnCode(cpu: Processor): void {
  const cpl = returnCode.selector & 3;
  loadCode(cpu, returnCode, cpl);
  cpu.words[STATE.cpl >> 2] = cpl;
}

export function commitReturnStack(cpu: Processor, selector: number): void {
  if (isNull(selector)) loadNull(cpu, SS, selector, cpu.cpl);
  else loadFrom(cpu, SS, selector, returnStack);
}

/** An outer level may not keep segment registers that it could not have loaded. */
export function dropInnerSegments(cpu: Processor): void {
  const { cpl } = cpu;
  for (const segment of [ES, DS, FS, GS]) {
    const rights = cpu.accessRights(segment);
    const conformingCode = (rights & (RIGHTS.code | RIGHTS.conforming)) === (RIGHTS.code | RIGHTS.conforming);
    if ((rights & RIGHTS.unusable) === 0 && !conformingCode && ((rights >> 5) & 3) < cpl) loadNull(cpu, segment, 0, 0);
  }
}
