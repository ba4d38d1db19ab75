// SPDX-License-Identifier: Apache-2.0
import { EXCEPTION } from '../softfloat/environment.ts';
import type { FloatEnvironment } from '../softfloat/environment.ts';
import { EXTENDED80, KIND, encode, infinity, packSpecial, zero } from '../softfloat/format.ts';
import type { Unpacked } from '../softfloat/format.ts';
import { invalid, noteDenormals, propagateNan } from '../softfloat/nan.ts';
import { compareNumbers } from '../softfloat/compare.ts';
import { roundPack } from '../softfloat/round.ts';
import { unary } from './arithmetic.ts';
import {
  arcTangent,
  cosineOf,
  exponentialMinusOne,
  logarithm,
  logarithmPlusOne,
  product,
  quarterPi,
  sine,
  tangent,
} from './functions.ts';
import type { Approximate } from './functions.ts';
import { plain } from './instruction.ts';
import type { X87Instruction } from './instruction.ts';
import { FSW } from './registers.ts';
import { INDEFINITE_BITS } from './x87.ts';
import type { X87 } from './x87.ts';

/** From 2^63 on, the trigonometric instructions set C2 and do nothing. See: SDM 8.3.7 Trigonometric Instructions. */
const TOO_LARGE = 63;

const ONE: Unpacked = { kind: KIND.finite, sign: 0, exponent: 0, significand: 1n << 63n, denormal: false };
const ONE_BITS = encode(EXTENDED80, 0, EXTENDED80.bias, ONE.significand);

const EXPONENT = 0x7fffn << 64n;

/** A processor computes by approximation and says so even where the result happens to be exact (log2 of a power of two). */
function pack(env: FloatEnvironment, a: Approximate): bigint {
  const bits = roundPack(env, EXTENDED80, a.sign, a.exponent, a.significand, !a.exact);
  const isTiny = (bits & EXPONENT) === 0n;
  env.raise(isTiny ? EXCEPTION.inexact | EXCEPTION.underflow : EXCEPTION.inexact);
  return bits;
}

/** sin, cos and tan share what they do with all that is not finite, and with zero. */
function trigonometric(
  env: FloatEnvironment,
  a: Unpacked,
  compute: (a: Unpacked) => Approximate,
  ofZero: bigint,
): bigint {
  const nan = propagateNan(env, a);
  if (nan) return packSpecial(EXTENDED80, nan);
  if (a.kind === KIND.infinity) return packSpecial(EXTENDED80, invalid(env));
  noteDenormals(env, a);
  return a.kind === KIND.zero ? ofZero : pack(env, compute(a));
}

const signedZero = (a: Unpacked): bigint => packSpecial(EXTENDED80, zero(a.sign));
const sineBits = (env: FloatEnvironment, a: Unpacked): bigint => trigonometric(env, a, sine, signedZero(a));
const cosineBits = (env: FloatEnvironment, a: Unpacked): bigint => trigonometric(env, a, cosineOf, ONE_BITS);
const tangentBits = (env: FloatEnvironment, a: Unpacked): bigint => trigonometric(env, a, tangent, signedZero(a));

/** True if the argument in ST(0) is too large: then C2 is set and nothing else happens. */
function isTooLarge(x87: X87): boolean {
  const a = x87.value(0);
  const large = !x87.isEmpty(0) && a.kind === KIND.finite && a.exponent >= TOO_LARGE;
  x87.fsw = large ? (x87.fsw & ~FSW.c1) | FSW.c2 : x87.fsw & ~FSW.c2;
  return large;
}

function oneResult(x87: X87, compute: (env: FloatEnvironment, a: Unpacked) => bigint): void {
  if (!isTooLarge(x87)) unary(x87, compute);
}

/** FPTAN and FSINCOS: one result replaces ST(0), the other is pushed. */
function twoResults(
  x87: X87,
  first: (env: FloatEnvironment, a: Unpacked) => bigint,
  second: (env: FloatEnvironment, a: Unpacked) => bigint,
): void {
  x87.fsw &= ~FSW.c2;
  if (x87.isEmpty(0) || !x87.isEmpty(-1)) {
    if (!x87.stackFault(!x87.isEmpty(0))) return;
    x87.set(0, INDEFINITE_BITS);
    x87.push(INDEFINITE_BITS);
    return;
  }
  if (isTooLarge(x87)) return;
  const env = x87.begin();
  const a = x87.value(0);
  const pushed = second(env, a);
  const replaced = first(env, a);
  if (!x87.finish()) return;
  x87.set(0, replaced);
  x87.push(pushed);
}

/** What FPTAN pushes: 1, or the NaN again. */
function oneOrNan(env: FloatEnvironment, a: Unpacked): bigint {
  return a.kind >= KIND.infinity ? tangentBits(env, a) : ONE_BITS;
}

/** Outside -1 to 1 the SDM leaves the result open; the argument is returned. */
function powerMinusOne(env: FloatEnvironment, a: Unpacked): bigint {
  const nan = propagateNan(env, a);
  if (nan) return packSpecial(EXTENDED80, nan);
  noteDenormals(env, a);
  if (a.kind === KIND.zero) return packSpecial(EXTENDED80, a);
  if (a.kind === KIND.infinity)
    return a.sign === 1 ? encode(EXTENDED80, 1, EXTENDED80.bias, ONE.significand) : packSpecial(EXTENDED80, a);
  if (a.exponent > 0 || (a.exponent === 0 && a.significand !== ONE.significand)) {
    env.raise(EXCEPTION.inexact);
    return roundPack(env, EXTENDED80, a.sign, a.exponent - 63, a.significand);
  }
  return pack(env, exponentialMinusOne(a));
}

/** Two operands: ST(1) := compute(ST(1), ST(0)), then a pop. */
function binary(x87: X87, compute: (env: FloatEnvironment, y: Unpacked, x: Unpacked) => bigint): void {
  if (x87.isEmpty(0) || x87.isEmpty(1)) {
    if (!x87.stackFault(false)) return;
    x87.set(1, INDEFINITE_BITS);
    x87.pop();
    return;
  }
  const result = compute(x87.begin(), x87.value(1), x87.value(0));
  if (!x87.finish()) return;
  x87.set(1, result);
  x87.pop();
}

/** y x log2(x), for a logarithm that is zero, infinite, or computed. See: SDM Table 3-49 FYL2X Results. */
function yLog2(env: FloatEnvironment, y: Unpacked, x: Unpacked): bigint {
  const nan = propagateNan(env, x, y);
  if (nan) return packSpecial(EXTENDED80, nan);
  if (x.kind !== KIND.zero && x.sign === 1) return packSpecial(EXTENDED80, invalid(env));
  const isOne = x.kind === KIND.finite && compareNumbers(x, ONE) === 0;
  if (
    (isOne && y.kind === KIND.infinity) ||
    (y.kind === KIND.zero && (x.kind === KIND.zero || x.kind === KIND.infinity))
  )
    return packSpecial(EXTENDED80, invalid(env));
  if (x.kind === KIND.zero) {
    if (y.kind !== KIND.infinity) env.raise(EXCEPTION.zeroDivide);
    return packSpecial(EXTENDED80, infinity(y.sign === 1 ? 0 : 1));
  }
  noteDenormals(env, x, y);
  const logSign = x.kind === KIND.infinity || x.exponent >= 0 ? 0 : 1;
  const sign = y.sign === logSign ? 0 : 1;
  if (x.kind === KIND.infinity || y.kind === KIND.infinity) return packSpecial(EXTENDED80, infinity(sign));
  if (isOne || y.kind === KIND.zero) return packSpecial(EXTENDED80, zero(sign));
  return pack(env, product(y, logarithm(x)));
}

/** y x log2(x + 1). See: SDM Table 3-50 FYL2XP1 Results. The argument may be outside the range it promises, but not below -1. */
function yLog2PlusOne(env: FloatEnvironment, y: Unpacked, x: Unpacked): bigint {
  const nan = propagateNan(env, x, y);
  if (nan) return packSpecial(EXTENDED80, nan);
  const tooSmall = x.sign === 1 && (x.kind === KIND.infinity || (x.kind === KIND.finite && x.exponent >= 0));
  if (
    tooSmall ||
    (x.kind === KIND.zero && y.kind === KIND.infinity) ||
    (x.kind === KIND.infinity && y.kind === KIND.zero)
  )
    return packSpecial(EXTENDED80, invalid(env));
  noteDenormals(env, x, y);
  const sign = y.sign === x.sign ? 0 : 1;
  if (x.kind === KIND.infinity || y.kind === KIND.infinity) return packSpecial(EXTENDED80, infinity(sign));
  if (x.kind === KIND.zero || y.kind === KIND.zero) return packSpecial(EXTENDED80, zero(sign));
  return pack(env, product(y, logarithmPlusOne(x)));
}

/** The angle of (x, y) from -pi to pi. See: SDM Table 3-30 FPATAN Results. */
function angle(env: FloatEnvironment, y: Unpacked, x: Unpacked): bigint {
  const nan = propagateNan(env, x, y);
  if (nan) return packSpecial(EXTENDED80, nan);
  noteDenormals(env, x, y);
  if (y.kind === KIND.infinity && x.kind === KIND.infinity) return pack(env, quarterPi(x.sign === 1 ? 3 : 1, y.sign));
  if (y.kind === KIND.zero || x.kind === KIND.infinity)
    return x.sign === 1 ? pack(env, quarterPi(4, y.sign)) : packSpecial(EXTENDED80, zero(y.sign));
  if (x.kind === KIND.zero || y.kind === KIND.infinity) return pack(env, quarterPi(2, y.sign));
  return pack(env, arcTangent(y, x));
}

export const TRANSCENDENTAL: readonly X87Instruction[] = [
  plain('FSIN', (x87) => oneResult(x87, sineBits)),
  plain('FCOS', (x87) => oneResult(x87, cosineBits)),
  plain('FSINCOS', (x87) => twoResults(x87, sineBits, cosineBits)),
  plain('FPTAN', (x87) => twoResults(x87, tangentBits, oneOrNan)),
  plain('F2XM1', (x87) => unary(x87, powerMinusOne)),
  plain('FYL2X', (x87) => binary(x87, yLog2)),
  plain('FYL2XP1', (x87) => binary(x87, yLog2PlusOne)),
  plain('FPATAN', (x87) => binary(x87, angle)),
];
