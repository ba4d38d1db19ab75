// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { BINARY32, BINARY64, finite, unpack } from '../softfloat/format.ts';
import type { Format, Unpacked } from '../softfloat/format.ts';
import type { X87 } from './x87.ts';

/** The layouts of the x87 environment. See: SDM 8.1.10 Saving the x87 FPU's State with FSTENV/FNSTENV and FSAVE/FNSAVE. */
export type EnvironmentFormat = 'protected32' | 'protected16' | 'real32' | 'real16';

/** What an instruction is given beside the unit's state. Each uses what its row says. */
export interface X87Operand {
  /** The bytes of a memory operand that is read. */
  readonly memory?: Uint8Array;
  /** i of ST(i). */
  readonly index?: number;
  /** For FCMOVcc: RFLAGS, of which CF, PF and ZF count. */
  readonly eflags?: number;
  /** For FNSTENV, FLDENV, FNSAVE and FRSTOR; 64-bit mode is protected32, virtual-8086 mode is real. */
  readonly format?: EnvironmentFormat;
}

/** What an instruction leaves to its caller. */
export interface X87Outcome {
  /** Bytes to write to the memory operand; absent if there is none or an unmasked exception prevents it. */
  readonly store?: Uint8Array;
  /** For FCOMI and its kin: ZF, PF and CF, in place; OF, SF and AF become 0. Absent if an unmasked exception prevents it. */
  readonly eflags?: number;
  /** For FNSTSW AX. */
  readonly ax?: number;
}

export type Run = (x87: X87, operand: X87Operand) => X87Outcome;

/** One row of the table. */
export interface X87Instruction {
  /** Mnemonic and operands as in the opcode table of src/arch: `FADD m32fp`, `FADD STi ST0`, `FSIN`. */
  readonly name: string;
  readonly memory: 'none' | 'load' | 'store';
  /** Bytes of the memory operand; 0 where the environment's format decides: see `environmentBytes`. */
  readonly bytes: number;
  /** A pending exception is raised (#MF) before it executes. */
  readonly waits: boolean;
  /** Leaves the instruction and data pointers alone. */
  readonly control: boolean;
  readonly run: Run;
}

export const NOTHING: X87Outcome = {};

/** The loaded bytes of an instruction that has them. */
export function memoryOf({ memory }: X87Operand): Uint8Array {
  assert(memory, 'x87 memory operand was not loaded');
  return memory;
}

export function formatOf({ format }: X87Operand): EnvironmentFormat {
  assert(format, 'x87 environment format is missing');
  return format;
}

/** A computing instruction: it waits, and it is recorded in the pointers. */
export function instruction(name: string, memory: X87Instruction['memory'], bytes: number, run: Run): X87Instruction {
  return { name, memory, bytes, waits: true, control: false, run };
}

/** An instruction without memory operand and outcome. */
export function plain(name: string, run: (x87: X87, index: number) => void): X87Instruction {
  return instruction(name, 'none', 0, (x87, operand) => {
    run(x87, operand.index ?? 0);
    return NOTHING;
  });
}

export function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let n = bytes.length - 1; n >= 0; n--) value = (value << 8n) | BigInt(bytes[n]);
  return value;
}

/** The low `length` bytes of a value, which may be negative. */
export function toBytes(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = value;
  for (let n = 0; n < length; n++) {
    bytes[n] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** A memory operand that is read as a number. */
export interface MemoryOperand {
  readonly notation: string;
  readonly bytes: number;
  readonly read: (memory: Uint8Array) => Unpacked;
}

function float(notation: string, format: Format): MemoryOperand {
  return { notation, bytes: format.bytes, read: (memory) => unpack(littleEndian(memory), format) };
}

export function unpackInteger(value: bigint): Unpacked {
  return value < 0n ? finite(1, 0, -value) : finite(0, 0, value);
}

function integer(notation: string, bytes: number): MemoryOperand {
  return { notation, bytes, read: (memory) => unpackInteger(BigInt.asIntN(bytes * 8, littleEndian(memory))) };
}

export const M32FP: MemoryOperand = float('m32fp', BINARY32);
export const M64FP: MemoryOperand = float('m64fp', BINARY64);
export const M16INT: MemoryOperand = integer('m16int', 2);
export const M32INT: MemoryOperand = integer('m32int', 4);
export const M64INT: MemoryOperand = integer('m64int', 8);
