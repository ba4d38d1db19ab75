// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR4 } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { LDTR, TR } from '../state.ts';
import { Descriptor, TYPE, findDescriptor } from './descriptors.ts';
import { setZero } from './flags.ts';
import { readOperand, writeGeneral, writeOperand } from './general-operand.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';
import { loadLdtr, loadTr } from './segment-load.ts';

const found = new Descriptor();

/** System types LAR accepts, as bits; LSL all of them but gates. IA-32e mode knows only the wide ones. */
// prettier-ignore
const SYSTEM_TYPES = {
  lar:   { legacy: mask(TYPE.tss16, TYPE.ldt, TYPE.tss16Busy, TYPE.callGate16, TYPE.taskGate, TYPE.tss32, TYPE.tss32Busy, TYPE.callGate32), long: mask(TYPE.ldt, TYPE.tss32, TYPE.tss32Busy, TYPE.callGate32) },
  lsl:   { legacy: mask(TYPE.tss16, TYPE.ldt, TYPE.tss16Busy, TYPE.tss32, TYPE.tss32Busy), long: mask(TYPE.ldt, TYPE.tss32, TYPE.tss32Busy) },
} as const;

function mask(...types: readonly number[]): number {
  return types.reduce((bits, type) => bits | (1 << type), 0);
}

/** The selector may be used at this level: conforming code always, else CPL and RPL must not be above DPL. */
function visible(cpu: Processor): boolean {
  return found.conforming || (found.dpl >= cpu.cpl && found.dpl >= (found.selector & 3));
}

/** LAR and LSL: ZF says whether the descriptor could be looked at; only then the register is written. */
function inspect(accepted: { legacy: number; long: number }, result: (bits: number) => number): Microcode {
  return (cpu, instruction) => {
    const [target, source] = instruction.operands;
    const selector = readOperand(cpu, instruction, source) & 0xffff;
    if (cpu.faulted) return STATUS.fault;
    const exists = findDescriptor(cpu, selector, found);
    if (cpu.faulted) return STATUS.fault;
    const types = cpu.longMode ? accepted.long : accepted.legacy;
    const good = exists && visible(cpu) && (!found.system || ((types >> found.type) & 1) === 1);
    setZero(cpu, good);
    if (good) writeGeneral(cpu, target.register, target.size, result(target.size));
    return STATUS.next;
  };
}

const loadAccessRights = inspect(SYSTEM_TYPES.lar, (bits) => found.high & (bits === 16 ? 0xff00 : 0xf0ff00));
const loadSegmentLimit = inspect(SYSTEM_TYPES.lsl, () => found.limit);

/** VERR and VERW. */
function verify(allowed: () => boolean): Microcode {
  return (cpu, instruction) => {
    const selector = readOperand(cpu, instruction, instruction.operands[0]) & 0xffff;
    if (cpu.faulted) return STATUS.fault;
    const exists = findDescriptor(cpu, selector, found);
    if (cpu.faulted) return STATUS.fault;
    setZero(cpu, exists && !found.system && visible(cpu) && allowed());
    return STATUS.next;
  };
}

/** Raises the RPL of a selector to that of another. */
function adjustRpl(cpu: Processor, instruction: Instruction): number {
  const [target, source] = instruction.operands;
  const selector = readOperand(cpu, instruction, target);
  if (cpu.faulted) return STATUS.fault;
  const wanted = cpu.reg16(source.register) & 3;
  const raises = (selector & 3) < wanted;
  if (!writeOperand(cpu, instruction, target, raises ? (selector & 0xfffc) | wanted : selector)) return STATUS.fault;
  setZero(cpu, raises);
  return STATUS.next;
}

/** SLDT and STR; with CR4.UMIP at level 0 only. */
function storeSelector(segment: number): Microcode {
  return (cpu, instruction) => {
    if (cpu.cpl > 0 && cpu.cr4 & CR4.UMIP) return cpu.generalProtection();
    if (intercepted(cpu, instruction, 'Access to LDTR or TR', { write: true })) return INTERCEPTED;
    return writeOperand(cpu, instruction, instruction.operands[0], cpu.selector(segment)) ? STATUS.next : STATUS.fault;
  };
}

/** LLDT and LTR. */
function loadSelector(load: (cpu: Processor, selector: number) => boolean): Microcode {
  return (cpu, instruction) => {
    if (intercepted(cpu, instruction, 'Access to LDTR or TR', { write: false })) return INTERCEPTED;
    const selector = readOperand(cpu, instruction, instruction.operands[0]) & 0xffff;
    return !cpu.faulted && load(cpu, selector) ? STATUS.next : STATUS.fault;
  };
}

export const DESCRIPTOR_MICROCODE: MicrocodeRoutines = {
  LAR: loadAccessRights,
  LSL: loadSegmentLimit,
  VERR: verify(() => found.readable),
  VERW: verify(() => found.writableData),
  ARPL: adjustRpl,
  SLDT: storeSelector(LDTR),
  STR: storeSelector(TR),
  LLDT: loadSelector(loadLdtr),
  LTR: loadSelector(loadTr),
};
