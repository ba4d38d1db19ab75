// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../base/assert.ts';

/**
 * The operand notation of the opcode maps: a capital letter says where the operand is, small letters what it is.
 * See: SDM A.2 Key to Abbreviations. Three additions: `Z` is the register in the opcode byte's low three bits (the SDM's +rb, +rw, +rd, +ro),
 * `bs` is an immediate byte that is sign-extended, and memory forms of the instruction pages (m32fp, m512byte) are taken literally.
 */

/** Where an operand is. The letters are those of SDM A.2.1 Codes for Addressing Method. */
// prettier-ignore
export const Addressing = {
  A: 0,          // far pointer in the instruction
  B: 1,          // VEX.vvvv: general register
  C: 2,          // ModRM.reg: control register
  D: 3,          // ModRM.reg: debug register
  E: 4,          // ModRM.rm: general register or memory
  G: 5,          // ModRM.reg: general register
  I: 6,          // immediate
  J: 7,          // displacement relative to the next instruction
  M: 8,          // ModRM.rm: memory only
  N: 9,          // ModRM.rm: MMX register only
  O: 10,         // offset in the instruction, as wide as an address
  P: 11,         // ModRM.reg: MMX register
  Q: 12,         // ModRM.rm: MMX register or memory
  R: 13,         // ModRM.rm: general register only
  S: 14,         // ModRM.reg: segment register
  U: 15,         // ModRM.rm: XMM register only
  V: 16,         // ModRM.reg: XMM register
  W: 17,         // ModRM.rm: XMM register or memory
  X: 18,         // memory at DS:rSI
  Y: 19,         // memory at ES:rDI
  Z: 20,         // opcode bits 2:0: general register
  GENERAL: 21,   // a named general register
  SEGMENT: 22,   // a named segment register
  X87: 23,       // ST(0)
  X87_I: 24,     // ModRM.rm: ST(i)
  XMM: 25,       // a named XMM register
  ONE: 26,       // the constant 1
} as const;

/** Widths that depend on the instruction at hand; a fixed width is its number of bits, above zero. */
// prettier-ignore
export const VariableWidth = {
  NONE: 0,       // an address only (LEA, INVLPG), or as long as the state says (XSAVE)
  V: -1,         // the operand size: 16, 32 or 64
  Z: -2,         // 16 for operand size 16, else 32
  Y: -3,         // 64 for operand size 64, else 32
  P: -4,         // far pointer: operand size + 16
  A: -5,         // two values of the operand size (BOUND)
  S: -6,         // pseudo-descriptor: 80 in 64-bit mode, else 48
  X87_ENVIRONMENT: -7, // 14 bytes for operand size 16, else 28
  X87_STATE: -8,       // 94 bytes for operand size 16, else 108
} as const;

// prettier-ignore
const TYPES: Readonly<Record<string, number>> = {
  b: 8, bs: 8, w: 16, d: 32, q: 64, dq: 128, ps: 128, pd: 128, ss: 32, sd: 64, pi: 64, '': 0,
  v: VariableWidth.V, z: VariableWidth.Z, y: VariableWidth.Y, p: VariableWidth.P, a: VariableWidth.A, s: VariableWidth.S,
};

// prettier-ignore
const MEMORY_FORMS: Readonly<Record<string, number>> = {
  m16int: 16, m32int: 32, m64int: 64, m32fp: 32, m64fp: 64, m80fp: 80, m80bcd: 80, m2byte: 16, m512byte: 4096,
  'm14/28byte': VariableWidth.X87_ENVIRONMENT, 'm94/108byte': VariableWidth.X87_STATE,
};

// prettier-ignore
const NAMED: Readonly<Record<string, readonly [addressing: number, width: number, register: number]>> = {
  AL:  [Addressing.GENERAL, 8, 0],  CL:  [Addressing.GENERAL, 8, 1],
  AX:  [Addressing.GENERAL, 16, 0], DX:  [Addressing.GENERAL, 16, 2],
  eAX: [Addressing.GENERAL, VariableWidth.Z, 0], rAX: [Addressing.GENERAL, VariableWidth.V, 0],
  ES:  [Addressing.SEGMENT, 16, 0], CS:  [Addressing.SEGMENT, 16, 1], SS:  [Addressing.SEGMENT, 16, 2],
  DS:  [Addressing.SEGMENT, 16, 3], FS:  [Addressing.SEGMENT, 16, 4], GS:  [Addressing.SEGMENT, 16, 5],
  ST0: [Addressing.X87, 80, 0],     STi: [Addressing.X87_I, 80, 0],
  XMM0: [Addressing.XMM, 128, 0],   1:   [Addressing.ONE, 8, 0],
};

/** One operand of a row, with the notation resolved to numbers. */
export interface OperandForm {
  readonly text: string;
  /** One of `Addressing`. */
  readonly addressing: number;
  /** Width as a register, an immediate or an offset: bits, or one of `VariableWidth`. */
  readonly width: number;
  /** Width as memory; differs from `width` in forms such as `Rv/Mw`. */
  readonly memoryWidth: number;
  /** The register's number where the notation names one. */
  readonly register: number;
  /** The immediate is sign-extended to 64 bits. */
  readonly signed: boolean;
}

const REGISTER_OR_MEMORY: Readonly<Record<string, number>> = { R: Addressing.E, N: Addressing.Q, U: Addressing.W };

function letterForm(text: string): OperandForm {
  const addressing = Addressing[text[0] as keyof typeof Addressing];
  const type = text.slice(1);
  const width = TYPES[type];
  assert(addressing !== undefined && width !== undefined, `operand notation ${text}`);
  const signed = addressing === Addressing.J || (addressing === Addressing.I && (type === 'bs' || type === 'z'));
  return { text, addressing, width, memoryWidth: width, register: 0, signed };
}

/** `Rv/Mw`: a register of one width or memory of another. */
function registerOrMemoryForm(text: string, register: string, memory: string): OperandForm {
  const form = letterForm(register);
  const addressing = REGISTER_OR_MEMORY[register[0]];
  assert(addressing !== undefined && memory[0] === 'M', `operand notation ${text}`);
  return { ...form, text, addressing, memoryWidth: letterForm(memory).width };
}

/** Reads one operand as the table writes it: `Ev`, `Rv/Mw`, `rAX`, `m80fp`. */
export function parseOperand(text: string): OperandForm {
  const named = NAMED[text];
  if (named) {
    const [addressing, width, register] = named;
    return { text, addressing, width, memoryWidth: width, register, signed: false };
  }
  const memory = MEMORY_FORMS[text];
  if (memory !== undefined)
    return { text, addressing: Addressing.M, width: memory, memoryWidth: memory, register: 0, signed: false };
  const [first, second] = text.split('/');
  return second === undefined ? letterForm(first) : registerOrMemoryForm(text, first, second);
}

/** The width in bits of a row's operand, for an instruction's operand size and the code size it runs in. */
export function widthInBits(width: number, operandSize: number, codeSize: number): number {
  if (width >= 0) return width;
  switch (width) {
    case VariableWidth.V:
      return operandSize;
    case VariableWidth.Z:
      return operandSize === 16 ? 16 : 32;
    case VariableWidth.Y:
      return operandSize === 64 ? 64 : 32;
    case VariableWidth.P:
      return operandSize + 16;
    case VariableWidth.A:
      return operandSize * 2;
    case VariableWidth.S:
      return codeSize === 64 ? 80 : 48;
    case VariableWidth.X87_ENVIRONMENT:
      return operandSize === 16 ? 112 : 224;
    default:
      return operandSize === 16 ? 752 : 864;
  }
}
