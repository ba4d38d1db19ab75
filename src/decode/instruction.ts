// SPDX-License-Identifier: Apache-2.0
import type { OpcodeRow } from '../arch/instructions/row.ts';
import { opcodeTable } from '../arch/instructions/table.ts';

/** The width of code: CS.L and CS.D; 16 also in real-address and virtual-8086 mode. */
export type CodeSize = 16 | 32 | 64;

/** What an operand is, once an instruction is decoded. */
// prettier-ignore
export const OperandKind = {
  NONE: 0,
  GENERAL: 1,             // register 0-15, or AH CH DH BH as 0-3 with high8
  MEMORY: 2,              // Instruction.memory
  IMMEDIATE: 3,           // Instruction.immediateLow and immediateHigh
  SECOND_IMMEDIATE: 4,    // Instruction.secondImmediate (ENTER's nesting level)
  RELATIVE: 5,            // the immediate, to be added to the address of the next instruction
  FAR_POINTER: 6,         // offset in immediateLow, selector in secondImmediate
  SEGMENT: 7,             // register 0-5: ES CS SS DS FS GS
  CONTROL: 8,
  DEBUG: 9,
  MMX: 10,
  XMM: 11,
  X87: 12,                // register i of ST(i)
  STRING_SOURCE: 13,      // memory.segment:rSI, rSI as wide as addressSize
  STRING_DESTINATION: 14, // ES:rDI
} as const;

/** The base register of a RIP-relative operand. */
export const BASE_RIP = 16;

export class Operand {
  /** One of `OperandKind`. */
  kind = 0;
  /** Bits that the instruction reads or writes; 0 for an address only or a length that the state decides. */
  size = 0;
  register = 0;
  high8 = false;
}

/** base + (index << scale) + displacement, cut to addressSize, in `segment`. */
export class MemoryOperand {
  /** 0-15, BASE_RIP or -1. RIP means the address of the next instruction. */
  base = -1;
  /** 0-15 or -1. */
  index = -1;
  /** Shift count 0-3. */
  scale = 0;
  displacementLow = 0;
  /** Sign of displacementLow, or the upper half of a 64-bit offset in the instruction. */
  displacementHigh = 0;
  /** 0-5: the override, or SS for a base of rSP or rBP, else DS. Also the segment of string sources, XLAT, MASKMOVQ, MONITOR. */
  segment = 3;
}

/** A decoded instruction, to be reused: when `decode` gives OK every field is of this instruction; else only `length` is. */
export class Instruction {
  /** In bytes; after a failure, how far decoding went. */
  length = 0;
  opcode: OpcodeRow = opcodeTable[0];
  operandSize = 0;
  addressSize = 0;
  lock = false;
  /** The last of prefixes F2 and F3, or 0; also where it is part of the opcode. */
  rep = 0;
  /** 0-5 or -1; in 64-bit mode FS and GS only. */
  segmentOverride = -1;
  operandSizePrefix = false;
  addressSizePrefix = false;
  /** The REX byte that counts, or 0. For VEX: 0x40 and the same four bits. */
  rex = 0;
  /** The register in VEX.vvvv. */
  vvvv = 0;
  hasModrm = false;
  modrm = 0;
  mod = 0;
  /** ModRM.reg and ModRM.rm without the bits of REX; without ModRM, rm is the opcode's low three bits. */
  reg = 0;
  rm = 0;
  operandCount = 0;
  readonly operands: readonly [Operand, Operand, Operand, Operand] = [
    new Operand(),
    new Operand(),
    new Operand(),
    new Operand(),
  ];
  readonly memory: MemoryOperand = new MemoryOperand();
  /** Iz, Ibs and J are sign-extended to 64 bits, Ib, Iw and Iv zero-extended. */
  immediateLow = 0;
  immediateHigh = 0;
  secondImmediate = 0;
}
