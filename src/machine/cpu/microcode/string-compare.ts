// SPDX-License-Identifier: Apache-2.0
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { RAX, RCX, RDX, STATE } from '../state.ts';
import { operandLinear } from './effective-address.ts';
import type { MicrocodeRoutines } from './microcode.ts';

/**
 * PCMPESTRI PCMPESTRM PCMPISTRI PCMPISTRM: sixteen bytes or eight words against as many. "First" is the operand that is
 * a register, "second" the register or memory operand. See: SDM 4.1 Imm8 Control Byte Operation for PCMPESTRI / PCMPESTRM / PCMPISTRI / PCMPISTRM.
 */

/** Fields of the immediate. */
const WORDS = 0x01;
const SIGNED = 0x02;
const NEGATIVE = 0x10;
const ONLY_VALID = 0x20;
/** Index: the most significant bit instead of the least. Mask: elements of the mask as wide as those compared. */
const FAR_OR_WIDE = 0x40;

/** One operand: its elements, of which the first `length` are valid. */
class Elements {
  readonly values = new Int32Array(16);
  length = 0;

  load(view: DataView, at: number, immediate: number): void {
    const count = immediate & WORDS ? 8 : 16;
    for (let i = 0; i < count; i++) this.values[i] = element(view, at, i, immediate & (WORDS | SIGNED));
  }
  /** Valid up to the first zero. */
  endAtZero(count: number): void {
    const zero = this.values.indexOf(0);
    this.length = zero === -1 ? count : Math.min(zero, count);
  }
}

function element(view: DataView, at: number, index: number, format: number): number {
  if (format & WORDS)
    return format & SIGNED ? view.getInt16(at + index * 2, true) : view.getUint16(at + index * 2, true);
  return format & SIGNED ? view.getInt8(at + index) : view.getUint8(at + index);
}

/** What is compared; filled anew by each instruction. */
const first = new Elements();
const second = new Elements();

// --- aggregations: which elements of the second operand are hits -----------------------------------------------------

/** Element j of the second operand is one of the first's. */
function equalAny(j: number): boolean {
  if (j >= second.length) return false;
  const at = first.values.indexOf(second.values[j]);
  return at !== -1 && at < first.length;
}

/** It lies in one of the ranges that pairs of the first's elements are. */
function inRanges(j: number): boolean {
  if (j >= second.length) return false;
  const value = second.values[j];
  for (let i = 0; i + 1 < first.length; i += 2)
    if (value >= first.values[i] && value <= first.values[i + 1]) return true;
  return false;
}

/** Both elements are valid and equal, or neither is valid. */
function equalEach(j: number): boolean {
  const valid = j < first.length;
  return valid === j < second.length && (!valid || first.values[j] === second.values[j]);
}

/** The first operand, as far as it is valid, is found at j (or its beginning, cut off by the register's end). */
function equalOrdered(j: number, count: number): boolean {
  for (let i = 0; i < first.length && i + j < count; i++) {
    if (i + j >= second.length || first.values[i] !== second.values[i + j]) return false;
  }
  return true;
}

const AGGREGATIONS = [equalAny, inRanges, equalEach, equalOrdered] as const;

/** One bit for each element of the second operand, after the immediate's polarity. */
function compare(immediate: number, count: number): number {
  const hit = AGGREGATIONS[(immediate >> 2) & 3];
  let result = 0;
  for (let j = 0; j < count; j++) if (hit(j, count)) result |= 1 << j;
  if ((immediate & NEGATIVE) === 0) return result;
  return result ^ ((1 << (immediate & ONLY_VALID ? second.length : count)) - 1);
}

// --- operands and results ------------------------------------------------------------------------------------------

/** A length in a register: its magnitude, at most `count`. */
function explicitLength(cpu: Processor, register: number, wide: boolean, count: number): number {
  const value = wide ? cpu.getSigned(register * 8) : cpu.words[register * 2];
  return Math.min(Math.abs(value), count);
}

/** False with the fault recorded. The memory operand need not be aligned. */
function loadOperands(cpu: Processor, instruction: Instruction, explicit: boolean): boolean {
  const { operands, immediateLow: immediate } = instruction;
  const count = immediate & WORDS ? 8 : 16;
  if (operands[1].kind === OperandKind.MEMORY) {
    const linear = operandLinear(cpu, instruction, 16, false);
    if (cpu.faulted) return false;
    const host = cpu.mmu.locate(linear, 16, false, cpu.dataClass);
    if (host === -1) return false;
    second.load(cpu.memory.view, host, immediate);
  } else second.load(cpu.view, STATE.xmm + operands[1].register * 16, immediate);
  first.load(cpu.view, STATE.xmm + operands[0].register * 16, immediate);
  const wide = (instruction.rex & 8) !== 0;
  if (explicit) {
    first.length = explicitLength(cpu, RAX, wide, count);
    second.length = explicitLength(cpu, RDX, wide, count);
  } else {
    first.endAtZero(count);
    second.endAtZero(count);
  }
  return true;
}

function setFlags(cpu: Processor, result: number, count: number): void {
  cpu.arithmeticFlags =
    (result === 0 ? 0 : RFLAGS.CF) |
    (second.length < count ? RFLAGS.ZF : 0) |
    (first.length < count ? RFLAGS.SF : 0) |
    (result & 1 ? RFLAGS.OF : 0);
}

/** ECX becomes the number of the first or last bit, or the number of elements when there is none. */
function writeIndex(cpu: Processor, result: number, immediate: number, count: number): void {
  const index = immediate & FAR_OR_WIDE ? 31 - Math.clz32(result) : 31 - Math.clz32(result & -result);
  cpu.setReg32(RCX, result === 0 ? count : index);
}

/** XMM0 becomes the bits, or an element of ones for each bit. */
function writeMask(cpu: Processor, result: number, immediate: number, count: number): void {
  const { bytes } = cpu;
  bytes.fill(0, STATE.xmm, STATE.xmm + 16);
  if (immediate & FAR_OR_WIDE)
    for (let i = 0; i < 16; i++) bytes[STATE.xmm + i] = (result >> (count === 8 ? i >> 1 : i)) & 1 ? 0xff : 0;
  else cpu.set32(STATE.xmm, result);
}

type WriteResult = typeof writeIndex;

function stringCompare(explicit: boolean, write: WriteResult) {
  return (cpu: Processor, instruction: Instruction): number => {
    if (!loadOperands(cpu, instruction, explicit)) return STATUS.fault;
    const { immediateLow: immediate } = instruction;
    const count = immediate & WORDS ? 8 : 16;
    const result = compare(immediate, count);
    write(cpu, result, immediate, count);
    setFlags(cpu, result, count);
    return STATUS.next;
  };
}

export const STRING_COMPARE_MICROCODE: MicrocodeRoutines = {
  PCMPESTRI: stringCompare(true, writeIndex),
  PCMPESTRM: stringCompare(true, writeMask),
  PCMPISTRI: stringCompare(false, writeIndex),
  PCMPISTRM: stringCompare(false, writeMask),
};
