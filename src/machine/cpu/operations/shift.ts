// SPDX-License-Identifier: Apache-2.0
import { integerType } from './graph.ts';
import type { Description, Operation, Value } from './operation.ts';

const ALL = [8, 16, 32, 64];

/** The count of a shift, masked to 5 or 6 bits, in the type of the operand shifted. */
function count(o: Operation, index: number): Value {
  const bits = o.operands[0].bits;
  return o
    .read(index)
    .and(bits === 64 ? 63 : 31)
    .as(integerType(bits));
}

function forms(): string[] {
  return ALL.flatMap((bits) => [`r${bits}i8`, `r${bits}r8`, `m${bits}i8`, `m${bits}r8`]);
}

/**
 * Shifts and rotates do nothing to the flags when the masked count is zero; a memory operand is written even then.
 * `compute` gets the value, the count and the value's width.
 */
function shift(
  mnemonic: string,
  hot: boolean,
  compute: (o: Operation, a: Value, n: Value) => { result: Value; flags: () => void },
): Description {
  return {
    mnemonic,
    signatures: forms(),
    hot,
    endsBlock: false,
    describe(o) {
      const a = o.readForUpdate(0);
      const n = count(o, 1);
      const { result, flags } = compute(o, a, n);
      o.write(0, result);
      o.when(n.isZero().not(), flags);
    },
  };
}

/** WebAssembly takes shift counts modulo 32; 8- and 16-bit operands shift by up to 31 in an i32, which is what we want. */
const wide = (a: Value): Value => (a.bits < 32 ? a.as('i32') : a);

function shiftLeft(o: Operation, a: Value, n: Value): { result: Value; flags: () => void } {
  const w = wide(a);
  const nw = n.as(w.type);
  const full = w.shl(nw);
  const result = full.as(a.type);
  return {
    result,
    flags() {
      const carry = a.bits < 32 ? full.bit(a.bits) : w.shl(nw.sub(1)).msb();
      o.flagsOfResult(result, carry, carry.xor(result.msb()));
    },
  };
}

function shiftRight(o: Operation, a: Value, n: Value): { result: Value; flags: () => void } {
  const w = wide(a);
  const nw = n.as(w.type);
  const result = w.shr(nw).as(a.type);
  return {
    result,
    flags: () => o.flagsOfResult(result, w.shr(nw.sub(1)).as('i1'), a.msb()),
  };
}

function shiftArithmetic(o: Operation, a: Value, n: Value): { result: Value; flags: () => void } {
  const w = a.bits < 32 ? a.sext('i32') : a;
  const nw = n.as(w.type);
  const result = w.sar(nw).as(a.type);
  return {
    result,
    flags: () => o.flagsOfResult(result, w.sar(nw.sub(1)).as('i1'), o.constant('i1', 0)),
  };
}

function rotateLeft(o: Operation, a: Value, n: Value): { result: Value; flags: () => void } {
  const result = a.rotl(n.and(a.bits - 1));
  return { result, flags: () => o.setCarryOverflow(result.as('i1'), result.as('i1').xor(result.msb())) };
}

function rotateRight(o: Operation, a: Value, n: Value): { result: Value; flags: () => void } {
  const result = a.rotr(n.and(a.bits - 1));
  return { result, flags: () => o.setCarryOverflow(result.msb(), result.msb().xor(result.bit(a.bits - 2))) };
}

/**
 * RCL and RCR turn width + 1 bits. The count is reduced modulo that (9 and 17 by subtraction: the masked count is
 * below 32), and every partial shift is split in two so that none reaches the width.
 */
function rotateThroughCarry(o: Operation, a: Value, n: Value, left: boolean): { result: Value; flags: () => void } {
  const w = wide(a);
  let m = n.as(w.type);
  if (a.bits < 32) m = m.remu(o.constant('i32', a.bits + 1));
  const zero = m.isZero();
  const carry = o.carryFlag();
  const inserted = carry.as(w.type);
  const width = o.constant(w.type, a.bits);
  const back = width.sub(m);
  const moved = left
    ? w
        .shl(m)
        .or(inserted.shl(m.sub(1)))
        .or(w.shr(1).shr(back))
    : w
        .shr(m)
        .or(inserted.shl(back))
        .or(a.bits < 32 ? w.shl(back.add(1)) : w.shl(1).shl(back));
  const result = zero.select(a, moved.as(a.type));
  const out = left ? w.shr(back).as('i1') : w.shr(m.sub(1)).as('i1');
  const carryOut = zero.select(carry, out);
  return {
    result,
    flags: () =>
      o.setCarryOverflow(carryOut, left ? carryOut.xor(result.msb()) : result.msb().xor(result.bit(a.bits - 2))),
  };
}

/** SHLD and SHRD; a 16-bit count beyond 16 takes bits of the first operand again, as processors do. */
function doubleShift(mnemonic: string, left: boolean): Description {
  return {
    mnemonic,
    signatures: [16, 32, 64].flatMap((b) => ['r', 'm'].flatMap((k) => [`${k}${b}r${b}i8`, `${k}${b}r${b}r8`])),
    hot: false,
    endsBlock: false,
    describe(o) {
      const a = o.readForUpdate(0);
      const b = o.read(1);
      const n = count(o, 2);
      const { result, carry } = left ? doubleLeft(o, a, b, n) : doubleRight(o, a, b, n);
      const kept = n.isZero().select(a, result);
      o.write(0, kept);
      o.when(n.isZero().not(), () => o.flagsOfResult(result, carry, result.msb().xor(a.msb())));
    },
  };
}

function doubleLeft(o: Operation, a: Value, b: Value, n: Value): { result: Value; carry: Value } {
  if (a.bits === 16) {
    const triple = a.as('i64').shl(32).or(b.as('i64').shl(16)).or(a.as('i64'));
    const m = n.as('i64');
    return { result: triple.shl(m).shr(32).as('i16'), carry: triple.shr(o.constant('i64', 48).sub(m)).as('i1') };
  }
  const back = o.constant(a.type, a.bits).sub(n);
  return { result: a.shl(n).or(b.shr(back)), carry: a.shr(back).as('i1') };
}

function doubleRight(o: Operation, a: Value, b: Value, n: Value): { result: Value; carry: Value } {
  if (a.bits === 16) {
    const triple = a.as('i64').shl(32).or(b.as('i64').shl(16)).or(a.as('i64'));
    const m = n.as('i64');
    return { result: triple.shr(m).as('i16'), carry: triple.shr(m.sub(1)).as('i1') };
  }
  const back = o.constant(a.type, a.bits).sub(n);
  return { result: a.shr(n).or(b.shl(back)), carry: a.shr(n.sub(1)).as('i1') };
}

export const SHIFTS: readonly Description[] = [
  shift('SHL', true, shiftLeft),
  shift('SHR', true, shiftRight),
  shift('SAR', true, shiftArithmetic),
  shift('ROL', false, rotateLeft),
  shift('ROR', false, rotateRight),
  shift('RCL', false, (o, a, n) => rotateThroughCarry(o, a, n, true)),
  shift('RCR', false, (o, a, n) => rotateThroughCarry(o, a, n, false)),
  doubleShift('SHLD', true),
  doubleShift('SHRD', false),
];
