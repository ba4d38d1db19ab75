// SPDX-License-Identifier: Apache-2.0
import { EXCEPTION, ROUNDING } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import { KIND, infinity, packSpecial, zero } from './format.ts';
import type { Format, Unpacked } from './format.ts';
import { invalid, noteDenormals, propagateNan } from './nan.ts';
import { roundPack } from './round.ts';

/** Every operation takes unpacked operands of any formats and gives an encoding of `format`. */
export type Binary = (env: FloatEnvironment, format: Format, a: Unpacked, b: Unpacked) => bigint;

/** Beyond this distance the smaller addend is only a direction to round in. */
const FAR = 132;

const opposite = (sign: 0 | 1): 0 | 1 => (sign === 1 ? 0 : 1);

export function add(env: FloatEnvironment, format: Format, a: Unpacked, b: Unpacked): bigint {
  return sum(env, format, a, b, b.sign);
}

export function subtract(env: FloatEnvironment, format: Format, a: Unpacked, b: Unpacked): bigint {
  return sum(env, format, a, b, opposite(b.sign));
}

/** `bSign` replaces b's sign, except where b is a NaN. */
function sum(env: FloatEnvironment, format: Format, a: Unpacked, b: Unpacked, bSign: 0 | 1): bigint {
  const nan = propagateNan(env, a, b);
  if (nan) return packSpecial(format, nan);
  if (a.kind === KIND.infinity && b.kind === KIND.infinity && a.sign !== bSign)
    return packSpecial(format, invalid(env));
  noteDenormals(env, a, b);
  if (a.kind === KIND.infinity) return packSpecial(format, a);
  if (b.kind === KIND.infinity) return packSpecial(format, infinity(bSign));
  if (a.kind === KIND.zero && b.kind === KIND.zero) return packSpecial(format, zero(signOfZeroSum(env, a.sign, bSign)));
  if (a.kind === KIND.zero) return roundPack(env, format, bSign, b.exponent - 63, b.significand);
  if (b.kind === KIND.zero) return roundPack(env, format, a.sign, a.exponent - 63, a.significand);
  if (a.exponent < b.exponent) return sumFinite(env, format, b, bSign, a, a.sign);
  return sumFinite(env, format, a, a.sign, b, bSign);
}

function signOfZeroSum(env: FloatEnvironment, a: 0 | 1, b: 0 | 1): 0 | 1 {
  if (a === b) return a;
  return env.rounding === ROUNDING.down ? 1 : 0;
}

/** `big` has the exponent that is not the smaller one. */
function sumFinite(
  env: FloatEnvironment,
  format: Format,
  big: Unpacked,
  bigSign: 0 | 1,
  small: Unpacked,
  smallSign: 0 | 1,
): bigint {
  const distance = big.exponent - small.exponent;
  if (distance > FAR) {
    const wide = big.significand << 68n;
    const exponent = big.exponent - 63 - 68;
    return roundPack(env, format, bigSign, exponent, bigSign === smallSign ? wide : wide - 1n, true);
  }
  const wide = big.significand << BigInt(distance);
  const exponent = small.exponent - 63;
  if (bigSign === smallSign) return roundPack(env, format, bigSign, exponent, wide + small.significand);
  const difference = wide - small.significand;
  if (difference === 0n) return packSpecial(format, zero(signOfZeroSum(env, bigSign, smallSign)));
  if (difference > 0n) return roundPack(env, format, bigSign, exponent, difference);
  return roundPack(env, format, smallSign, exponent, -difference);
}

export function multiply(env: FloatEnvironment, format: Format, a: Unpacked, b: Unpacked): bigint {
  const nan = propagateNan(env, a, b);
  if (nan) return packSpecial(format, nan);
  const sign = a.sign === b.sign ? 0 : 1;
  const hasInfinity = a.kind === KIND.infinity || b.kind === KIND.infinity;
  const hasZero = a.kind === KIND.zero || b.kind === KIND.zero;
  if (hasInfinity && hasZero) return packSpecial(format, invalid(env));
  noteDenormals(env, a, b);
  if (hasInfinity) return packSpecial(format, infinity(sign));
  if (hasZero) return packSpecial(format, zero(sign));
  return roundPack(env, format, sign, a.exponent + b.exponent - 126, a.significand * b.significand);
}

export function divide(env: FloatEnvironment, format: Format, a: Unpacked, b: Unpacked): bigint {
  const nan = propagateNan(env, a, b);
  if (nan) return packSpecial(format, nan);
  const sign = a.sign === b.sign ? 0 : 1;
  if (a.kind === b.kind && a.kind !== KIND.finite) return packSpecial(format, invalid(env));
  if (b.kind === KIND.zero && a.kind === KIND.finite) {
    // Of higher priority than denormal. See: SDM 4.9.2 Floating-Point Exception Priority.
    env.raise(EXCEPTION.zeroDivide);
    return packSpecial(format, infinity(sign));
  }
  noteDenormals(env, a, b);
  if (a.kind === KIND.infinity) return packSpecial(format, infinity(sign));
  if (b.kind === KIND.infinity || a.kind === KIND.zero) return packSpecial(format, zero(sign));
  const dividend = a.significand << 66n;
  const quotient = dividend / b.significand;
  return roundPack(env, format, sign, a.exponent - b.exponent - 66, quotient, quotient * b.significand !== dividend);
}

/** The operands of a division the other way round (FSUBR, FDIVR); the first operand stays the first for NaNs. */
export function subtractReversed(env: FloatEnvironment, format: Format, a: Unpacked, b: Unpacked): bigint {
  return subtract(env, format, b, a);
}

export function divideReversed(env: FloatEnvironment, format: Format, a: Unpacked, b: Unpacked): bigint {
  return divide(env, format, b, a);
}

/** The largest integer whose square is not above `value`, which is below 2^400. */
export function integerSquareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  // Newton's iteration falls towards the root from any start that is not below it.
  let root = BigInt(Math.ceil(Math.sqrt(Number(value)) * (1 + 2 ** -50)));
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

export function squareRoot(env: FloatEnvironment, format: Format, a: Unpacked): bigint {
  const nan = propagateNan(env, a);
  if (nan) return packSpecial(format, nan);
  if (a.kind === KIND.zero) return packSpecial(format, a);
  if (a.sign === 1) return packSpecial(format, invalid(env));
  noteDenormals(env, a);
  if (a.kind === KIND.infinity) return packSpecial(format, a);
  const lowest = a.exponent - 63;
  const shift = (lowest & 1) === 0 ? 68 : 69;
  const radicand = a.significand << BigInt(shift);
  const root = integerSquareRoot(radicand);
  return roundPack(env, format, 0, (lowest - shift) / 2, root, root * root !== radicand);
}
