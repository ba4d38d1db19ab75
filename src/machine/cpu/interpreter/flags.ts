// SPDX-License-Identifier: Apache-2.0
import { OP } from '../../wasm/opcodes.ts';
import { I32 } from '../../wasm/encoder.ts';
import { bitsOf } from '../operations/graph.ts';
import type { FlagsUpdate, Node, Type } from '../operations/graph.ts';
import { STATE } from '../state.ts';
import type { Lowering } from './lowering.ts';

/**
 * The interpreter's flags are a pair: `flagResult`, the result sign-extended to 64 bits, and `flagCarry`:
 * bit 31 CF, bit 30 CF xor OF, bit 3 AF, bits 15:8 xor-ed into the result's low byte for PF, bit 0 xor-ed into the
 * result's sign for SF. An addition stores its carry vector as it is; the two corrections are for POPF and its like.
 */
const CARRIES = 0xc0000008 | 0;

export function lowerFlags(low: Lowering, update: FlagsUpdate): void {
  for (const node of [
    ('a' in update && update.a) || undefined,
    ('b' in update && update.b) || undefined,
    ('result' in update && update.result) || undefined,
  ]) {
    if (node && node.op !== 'const') low.inLocal(node);
  }
  switch (update.kind) {
    case 'add':
    case 'sub':
      storeCarry(low, () => carryVector(low, update.kind, update.a, update.b, update.result));
      return storeResult(low, update.result);
    case 'logic':
      storeCarry(low, () => low.code.i32(0));
      return storeResult(low, update.result);
    case 'increment':
    case 'decrement':
      storeCarry(low, () => stepVector(low, update.kind, update.a, update.result));
      return storeResult(low, update.result);
    case 'result':
      storeCarry(low, () => carryOverflowBits(low, update.carry, update.overflow));
      return storeResult(low, update.result);
    case 'carry':
      return storeCarry(low, () => carryOnly(low, update.carry));
    case 'order':
      storeCarry(low, () => orderBits(low, update.less));
      return storeResultUnless(low, update.equal);
    case 'carryOverflow':
      return storeCarry(low, () => {
        low.loadState('i32', STATE.flagCarry);
        low.code.i32(0x3fffffff).op(OP.i32_and);
        carryOverflowBits(low, update.carry, update.overflow);
        low.code.op(OP.i32_or);
      });
    case 'eflags':
      return storeEflags(low, update.value);
  }
}

function storeCarry(low: Lowering, value: () => void): void {
  low.storeState('i32', STATE.flagCarry, value);
}

function storeResult(low: Lowering, result: Node): void {
  low.storeState('i64', STATE.flagResult, () => {
    low.emit(result);
    if (result.type === 'i8') low.code.op(OP.i32_extend8_s);
    if (result.type === 'i16') low.code.op(OP.i32_extend16_s);
    if (result.type !== 'i64') low.code.op(OP.i64_extend_i32_s);
  });
}

/** Carries out of each bit: of a + b = r, (a & b) | ((a | b) & ~r); borrows of a - b = r, (~a & b) | ((~a | b) & r). */
function carryVector(low: Lowering, kind: 'add' | 'sub', a: Node, b: Node, result: Node): void {
  const { code } = low;
  const wide = a.type === 'i64';
  const [and, or, xor] = wide ? [OP.i64_and, OP.i64_or, OP.i64_xor] : [OP.i32_and, OP.i32_or, OP.i32_xor];
  const invert = (): unknown => (wide ? code.i64(-1n).op(xor) : code.i32(-1).op(xor));
  const pushA = (): void => {
    low.emit(a);
    if (kind === 'sub') invert();
  };
  pushA();
  low.emit(b);
  code.op(and);
  pushA();
  low.emit(b);
  code.op(or);
  low.emit(result);
  if (kind === 'add') invert();
  code.op(and, or);
  placeCarries(low, a.type);
}

/** Moves the top two bits of a carry vector to bits 31:30 and keeps bit 3. */
function placeCarries(low: Lowering, type: Type): void {
  const { code } = low;
  if (type === 'i32') return void code.i32(CARRIES).op(OP.i32_and);
  const vector = code.temporary(type === 'i64' ? 0x7e : I32);
  code.tee(vector);
  if (type === 'i64') code.i64(32n).op(OP.i64_shr_u, OP.i32_wrap_i64);
  else code.i32(32 - bitsOf(type)).op(OP.i32_shl);
  code
    .i32(0xc0000000 | 0)
    .op(OP.i32_and)
    .get(vector);
  if (type === 'i64') code.op(OP.i32_wrap_i64);
  code.i32(8).op(OP.i32_and, OP.i32_or);
}

/** INC and DEC leave CF alone. */
function stepVector(low: Lowering, kind: 'increment' | 'decrement', a: Node, result: Node): void {
  const { code } = low;
  const bits = bitsOf(a.type);
  const wide = a.type === 'i64';
  const limit = kind === 'increment' ? 1n << BigInt(bits - 1) : (1n << BigInt(bits - 1)) - 1n;
  const carry = code.temporary(I32);
  low.loadState('i32', STATE.flagCarry);
  code
    .i32(0x80000000 | 0)
    .op(OP.i32_and)
    .tee(carry);
  code.get(carry).i32(1).op(OP.i32_shr_u);
  low.emit(result);
  if (wide) code.i64(limit).op(OP.i64_eq);
  else code.i32(Number(BigInt.asIntN(32, limit))).op(OP.i32_eq);
  code.i32(30).op(OP.i32_shl, OP.i32_xor, OP.i32_or);
  low.emit(a);
  if (wide) code.op(OP.i32_wrap_i64);
  low.emit(result);
  if (wide) code.op(OP.i32_wrap_i64);
  code.op(OP.i32_xor).i32(0x10).op(OP.i32_and).i32(1).op(OP.i32_shr_u, OP.i32_or);
}

function carryOverflowBits(low: Lowering, carry: Node, overflow: Node): void {
  const { code } = low;
  low.emit(carry);
  code.i32(31).op(OP.i32_shl);
  low.emit(carry);
  low.emit(overflow);
  code.op(OP.i32_xor).i32(30).op(OP.i32_shl, OP.i32_or);
}

/** A result of 0 or 0x100 has even parity, which the correction turns round: PF is clear either way. */
function orderBits(low: Lowering, less: Node): void {
  low.code.i32(0);
  low.emit(less);
  low.code
    .op(OP.i32_sub)
    .i32(0xc0000000 | 0)
    .op(OP.i32_and)
    .i32(0x100)
    .op(OP.i32_or);
}

function storeResultUnless(low: Lowering, zero: Node): void {
  low.storeState('i64', STATE.flagResult, () => {
    low.emit(zero);
    low.code.op(OP.i32_eqz).i32(8).op(OP.i32_shl, OP.i64_extend_i32_u);
  });
}

function carryOnly(low: Lowering, carry: Node): void {
  const { code } = low;
  const old = code.temporary(I32);
  low.loadState('i32', STATE.flagCarry);
  code.tee(old).i32(0x3fffffff).op(OP.i32_and);
  low.emit(carry);
  code.i32(31).op(OP.i32_shl, OP.i32_or);
  low.emit(carry);
  code.i32(30).op(OP.i32_shl);
  code.get(old).get(old).i32(1).op(OP.i32_shl, OP.i32_xor).i32(1).op(OP.i32_shr_u).i32(0x40000000).op(OP.i32_and);
  code.op(OP.i32_xor, OP.i32_or);
}

/** From EFLAGS: a result of 0 or 0x100 gives ZF; PF and SF go into the corrections. */
function storeEflags(low: Lowering, value: Node): void {
  const { code } = low;
  const eflags = low.inLocal(value);
  const bit = (from: number): unknown => code.get(eflags).i32(from).op(OP.i32_shr_u).i32(1).op(OP.i32_and);
  low.storeState('i64', STATE.flagResult, () => {
    bit(6);
    code.op(OP.i32_eqz).i32(8).op(OP.i32_shl, OP.i64_extend_i32_u);
  });
  storeCarry(low, () => {
    bit(0);
    code.i32(31).op(OP.i32_shl);
    code
      .get(eflags)
      .get(eflags)
      .i32(11)
      .op(OP.i32_shr_u, OP.i32_xor)
      .i32(1)
      .op(OP.i32_and)
      .i32(30)
      .op(OP.i32_shl, OP.i32_or);
    bit(2);
    code.op(OP.i32_eqz).i32(8).op(OP.i32_shl, OP.i32_or);
    bit(4);
    code.i32(3).op(OP.i32_shl, OP.i32_or);
    bit(7);
    code.op(OP.i32_or);
  });
}

export function lowerCarryFlag(low: Lowering): void {
  low.loadState('i32', STATE.flagCarry);
  low.code.i32(31).op(OP.i32_shr_u);
}

function overflowFlag(low: Lowering): void {
  const carry = low.code.temporary(I32);
  low.loadState('i32', STATE.flagCarry);
  low.code.tee(carry).get(carry).i32(1).op(OP.i32_shl, OP.i32_xor).i32(31).op(OP.i32_shr_u);
}

function zeroFlag(low: Lowering): void {
  low.loadState('i64', STATE.flagResult);
  low.code.op(OP.i64_eqz);
}

function signFlag(low: Lowering): void {
  low.loadState('i64', STATE.flagResult);
  low.code.i64(63n).op(OP.i64_shr_u, OP.i32_wrap_i64);
  low.loadState('i32', STATE.flagCarry);
  low.code.i32(1).op(OP.i32_and, OP.i32_xor);
}

function parityFlag(low: Lowering): void {
  low.loadState('i32', STATE.flagResult);
  low.loadState('i32', STATE.flagCarry);
  low.code
    .i32(8)
    .op(OP.i32_shr_u, OP.i32_xor)
    .i32(0xff)
    .op(OP.i32_and, OP.i32_popcnt)
    .i32(1)
    .op(OP.i32_and, OP.i32_eqz);
}

/** Condition codes in pairs; the odd one is the negation. See: SDM B.1.4.7 Condition Test (tttn) Field. */
export function lowerCondition(low: Lowering, condition: number): void {
  const { code } = low;
  switch (condition >> 1) {
    case 0:
      overflowFlag(low);
      break;
    case 1:
      lowerCarryFlag(low);
      break;
    case 2:
      zeroFlag(low);
      break;
    case 3:
      lowerCarryFlag(low);
      zeroFlag(low);
      code.op(OP.i32_or);
      break;
    case 4:
      signFlag(low);
      break;
    case 5:
      parityFlag(low);
      break;
    case 6:
      signFlag(low);
      overflowFlag(low);
      code.op(OP.i32_xor);
      break;
    default:
      signFlag(low);
      overflowFlag(low);
      code.op(OP.i32_xor);
      zeroFlag(low);
      code.op(OP.i32_or);
      break;
  }
  if (condition & 1) code.op(OP.i32_eqz);
}

export function lowerEflags(low: Lowering): void {
  const { code } = low;
  lowerCarryFlag(low);
  parityFlag(low);
  code.i32(2).op(OP.i32_shl, OP.i32_or);
  low.loadState('i32', STATE.flagCarry);
  code.i32(8).op(OP.i32_and).i32(1).op(OP.i32_shl, OP.i32_or);
  zeroFlag(low);
  code.i32(6).op(OP.i32_shl, OP.i32_or);
  signFlag(low);
  code.i32(7).op(OP.i32_shl, OP.i32_or);
  overflowFlag(low);
  code.i32(11).op(OP.i32_shl, OP.i32_or);
}
