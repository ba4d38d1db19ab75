// SPDX-License-Identifier: Apache-2.0
// Arithmetic on unsigned values of 8, 16, 32 or 64 bits with the status flags that it leaves in RFLAGS.

/** CF, PF, AF, ZF, SF, OF. See: SDM 3.4.3.1 Status Flags. */
export const STATUS_FLAGS = 0x8d5;
export const FLAG = { CF: 0x001, PF: 0x004, AF: 0x010, ZF: 0x040, SF: 0x080, OF: 0x800 } as const;

export interface Computed {
  readonly result: bigint;
  readonly flags: number;
}

/** `before`: the flags, for carry in and for what the operation keeps. */
export type BinaryOperation = (left: bigint, right: bigint, bits: number, before: number) => Computed;
export type UnaryOperation = (value: bigint, bits: number, before: number) => Computed;

function parity(result: bigint): number {
  let byte = Number(result & 0xffn);
  byte ^= byte >> 4;
  byte ^= byte >> 2;
  byte ^= byte >> 1;
  return (byte & 1) === 0 ? FLAG.PF : 0;
}

/** PF, ZF, SF. */
function ofResult(result: bigint, bits: number): number {
  const sign = (result >> BigInt(bits - 1)) & 1n;
  return parity(result) | (result === 0n ? FLAG.ZF : 0) | (sign === 1n ? FLAG.SF : 0);
}

const bitOf = (value: bigint, bit: number): boolean => ((value >> BigInt(bit)) & 1n) === 1n;

function sum(left: bigint, right: bigint, carry: bigint, bits: number): Computed {
  const whole = left + right + carry;
  const result = BigInt.asUintN(bits, whole);
  const carried = whole !== result ? FLAG.CF : 0;
  const half = (left ^ right ^ result) & 0x10n ? FLAG.AF : 0;
  const overflow = bitOf((left ^ result) & (right ^ result), bits - 1) ? FLAG.OF : 0;
  return { result, flags: ofResult(result, bits) | carried | half | overflow };
}

function difference(left: bigint, right: bigint, borrow: bigint, bits: number): Computed {
  const result = BigInt.asUintN(bits, left - right - borrow);
  const borrowed = left < right + borrow ? FLAG.CF : 0;
  const half = (left ^ right ^ result) & 0x10n ? FLAG.AF : 0;
  const overflow = bitOf((left ^ right) & (left ^ result), bits - 1) ? FLAG.OF : 0;
  return { result, flags: ofResult(result, bits) | borrowed | half | overflow };
}

const logic = (result: bigint, bits: number): Computed => ({ result, flags: ofResult(result, bits) });
const carryIn = (before: number): bigint => BigInt(before & FLAG.CF);
const keepCarry = ({ result, flags }: Computed, before: number): Computed => ({
  result,
  flags: (flags & ~FLAG.CF) | (before & FLAG.CF),
});

// prettier-ignore
export const BINARY: { readonly [mnemonic: string]: BinaryOperation } = {
  ADD: (left, right, bits) => sum(left, right, 0n, bits),
  ADC: (left, right, bits, before) => sum(left, right, carryIn(before), bits),
  SUB: (left, right, bits) => difference(left, right, 0n, bits),
  SBB: (left, right, bits, before) => difference(left, right, carryIn(before), bits),
  AND: (left, right, bits) => logic(left & right, bits),
  OR:  (left, right, bits) => logic(left | right, bits),
  XOR: (left, right, bits) => logic(left ^ right, bits),
};

// prettier-ignore
export const UNARY: { readonly [mnemonic: string]: UnaryOperation } = {
  INC: (value, bits, before) => keepCarry(sum(value, 1n, 0n, bits), before),
  DEC: (value, bits, before) => keepCarry(difference(value, 1n, 0n, bits), before),
  NEG: (value, bits) => difference(0n, value, 0n, bits),
  NOT: (value, bits, before) => ({ result: BigInt.asUintN(bits, ~value), flags: before & STATUS_FLAGS }),
};

/** What a bit test leaves in place of the bit. */
// prettier-ignore
export const BIT_TEST: { readonly [mnemonic: string]: (value: bigint, mask: bigint) => bigint } = {
  BT:  (value) => value,
  BTS: (value, mask) => value | mask,
  BTR: (value, mask) => value & ~mask,
  BTC: (value, mask) => value ^ mask,
};
