// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { RAX, RBX } from '../state.ts';
import { segmentLinear } from './effective-address.ts';
import { VECTOR } from './exceptions.ts';
import type { MicrocodeRoutines } from './microcode.ts';

/** Decimal arithmetic and XLAT, of 16- and 32-bit code. See: SDM 5.1.3 Decimal Arithmetic Instructions (volume 1). */

/** SF, ZF and PF of a byte, in EFLAGS positions. */
function byteFlags(value: number): number {
  let parity = value ^ (value >> 4);
  parity = (0x9669 >> (parity & 15)) & 1;
  return (value & 0x80) | (value === 0 ? RFLAGS.ZF : 0) | (parity ? RFLAGS.PF : 0);
}

/** DAA (direction 1) and DAS (-1). OF is undefined: cleared. */
function adjustPacked(direction: 1 | -1) {
  return (cpu: Processor): number => {
    const flags = cpu.arithmeticFlags;
    const old = cpu.bytes[RAX * 8];
    let al = old;
    let result = 0;
    if ((old & 15) > 9 || flags & RFLAGS.AF) {
      al += 6 * direction;
      result = RFLAGS.AF | (direction < 0 && al < 0 ? RFLAGS.CF : 0) | (flags & RFLAGS.CF);
    }
    if (old > 0x99 || flags & RFLAGS.CF) {
      al += 0x60 * direction;
      result |= RFLAGS.CF;
    } else if (direction > 0) result &= ~RFLAGS.CF;
    cpu.bytes[RAX * 8] = al;
    cpu.arithmeticFlags = result | byteFlags(al & 0xff);
    return STATUS.next;
  };
}

/** AAA (direction 1) and AAS (-1). The flags but AF and CF are undefined: those of AL. */
function adjustUnpacked(direction: 1 | -1) {
  return (cpu: Processor): number => {
    let ax = cpu.reg16(RAX);
    const adjusts = (ax & 15) > 9 || (cpu.arithmeticFlags & RFLAGS.AF) !== 0;
    if (adjusts) ax += 0x106 * direction;
    ax &= 0xff0f;
    cpu.setReg16(RAX, ax);
    cpu.arithmeticFlags = (adjusts ? RFLAGS.AF | RFLAGS.CF : 0) | byteFlags(ax & 0xff);
    return STATUS.next;
  };
}

function adjustAfterMultiply(cpu: Processor, instruction: Instruction): number {
  const base = instruction.immediateLow & 0xff;
  if (base === 0) return cpu.fault(VECTOR.DE);
  const al = cpu.bytes[RAX * 8];
  cpu.setReg16(RAX, (Math.floor(al / base) << 8) | (al % base));
  cpu.arithmeticFlags = byteFlags(al % base);
  return STATUS.next;
}

function adjustBeforeDivide(cpu: Processor, instruction: Instruction): number {
  const ax = cpu.reg16(RAX);
  const al = ((ax & 0xff) + (ax >> 8) * (instruction.immediateLow & 0xff)) & 0xff;
  cpu.setReg16(RAX, al);
  cpu.arithmeticFlags = byteFlags(al);
  return STATUS.next;
}

/** AL from the table at rBX, which is as wide as an address. */
function translate(cpu: Processor, instruction: Instruction): number {
  const { addressSize, memory } = instruction;
  const base = addressSize === 64 ? cpu.getSigned(RBX * 8) : cpu.words[RBX * 2];
  const sum = base + cpu.bytes[RAX * 8];
  const offset = addressSize === 64 ? sum : addressSize === 32 ? sum >>> 0 : sum & 0xffff;
  const linear = segmentLinear(cpu, memory.segment, offset, 1, false);
  const value = cpu.faulted ? 0 : cpu.load8(linear);
  if (cpu.faulted) return STATUS.fault;
  cpu.bytes[RAX * 8] = value;
  return STATUS.next;
}

export const DECIMAL_MICROCODE: MicrocodeRoutines = {
  DAA: adjustPacked(1),
  DAS: adjustPacked(-1),
  AAA: adjustUnpacked(1),
  AAS: adjustUnpacked(-1),
  AAM: adjustAfterMultiply,
  AAD: adjustBeforeDivide,
  XLAT: translate,
};
