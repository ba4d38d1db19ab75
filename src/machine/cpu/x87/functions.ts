// SPDX-License-Identifier: Apache-2.0
import { bitLength } from '../softfloat/format.ts';
import type { Unpacked } from '../softfloat/format.ts';
import {
  LN2,
  PI,
  WIDTH,
  arcTangentFactor,
  areaTangentFactor,
  cosine,
  exponentialFactor,
  multiplyFixed,
  sineFactor,
} from './series.ts';

const W = BigInt(WIDTH);

/** significand x 2^exponent with a sign; the significand may have any width. Unless `exact`, the truth is less than a unit above it. */
export interface Approximate {
  readonly sign: 0 | 1;
  readonly significand: bigint;
  readonly exponent: number;
  readonly exact: boolean;
}

const opposite = (sign: 0 | 1): 0 | 1 => (sign === 1 ? 0 : 1);

/** The magnitude of a value below 2^64 in fixed point, truncated. */
function fixed(significand: bigint, exponent: number): bigint {
  const shift = exponent + WIDTH;
  if (shift < -bitLength(significand)) return 0n;
  return shift >= 0 ? significand << BigInt(shift) : significand >> BigInt(-shift);
}

const fixedOf = (a: Unpacked): bigint => fixed(a.significand, a.exponent - 63);

/** Pi to the 66 bits that Intel's processors reduce arguments with, in units of 2^-66. See: SDM 8.3.8 Approximation of Pi. */
const PI_66 = 0xc90fdaa22168c234cn;

/** An angle as quadrant n and a rest of at most pi/4 beside n x pi/2. */
interface Angle {
  readonly quadrant: number;
  readonly sign: 0 | 1;
  readonly significand: bigint;
  readonly exponent: number;
}

/** Takes |a| below 2^63; the rest is exact. */
function reduce(a: Unpacked): Angle {
  if (a.exponent < -1) return { quadrant: 0, sign: a.sign, significand: a.significand, exponent: a.exponent - 63 };
  // In units of 2^-67 pi/2 is PI_66.
  const angle = a.significand << BigInt(a.exponent + 4);
  const quotient = (angle + PI_66 / 2n) / PI_66;
  const rest = angle - quotient * PI_66;
  const sign = rest < 0n === (a.sign === 1) ? 0 : 1;
  const quadrant = Number((a.sign === 1 ? -quotient : quotient) & 3n);
  return { quadrant, sign, significand: rest < 0n ? -rest : rest, exponent: -67 };
}

function sineOfRest({ sign, significand, exponent }: Angle): Approximate {
  const factor = sineFactor(fixed(significand, exponent));
  return { sign, significand: significand * factor, exponent: exponent - WIDTH, exact: false };
}

function cosineOfRest({ significand, exponent }: Angle): Approximate {
  return { sign: 0, significand: cosine(fixed(significand, exponent)), exponent: -WIDTH, exact: false };
}

function quarterTurns(angle: Angle, turns: number): Approximate {
  const value = (turns & 1) === 0 ? sineOfRest(angle) : cosineOfRest(angle);
  return (turns & 2) === 0 ? value : { ...value, sign: opposite(value.sign) };
}

/** Sine and cosine of a finite value that is not zero and below 2^63 in magnitude. */
export function sine(a: Unpacked): Approximate {
  const angle = reduce(a);
  return quarterTurns(angle, angle.quadrant);
}

export function cosineOf(a: Unpacked): Approximate {
  const angle = reduce(a);
  return quarterTurns(angle, angle.quadrant + 1);
}

/** A quotient to at least 192 bits, truncated. */
function quotient(a: Approximate, b: Approximate): Approximate {
  const shift = Math.max(0, bitLength(b.significand) - bitLength(a.significand) + WIDTH + 1);
  const significand = (a.significand << BigInt(shift)) / b.significand;
  return { sign: a.sign === b.sign ? 0 : 1, significand, exponent: a.exponent - b.exponent - shift, exact: false };
}

/** For a small angle the tangent is the angle and a little more; the quotient of truncated values would lose which. */
export function tangent(a: Unpacked): Approximate {
  if (a.exponent < -70) return { sign: a.sign, significand: a.significand, exponent: a.exponent - 63, exact: false };
  return quotient(sine(a), cosineOf(a));
}

/** 2^a - 1 for |a| of at most 1. */
export function exponentialMinusOne(a: Unpacked): Approximate {
  if (a.exponent === 0) return { sign: a.sign, significand: 1n, exponent: a.sign === 1 ? -1 : 0, exact: true };
  const magnitude = multiplyFixed(fixedOf(a), LN2);
  const factor = multiplyFixed(exponentialFactor(a.sign === 1 ? -magnitude : magnitude), LN2);
  return { sign: a.sign, significand: a.significand * factor, exponent: a.exponent - 63 - WIDTH, exact: false };
}

/** log2 of numerator/denominator, both positive and within a factor of about 2, to full relative precision; `sign` tells which is larger. */
function logarithmNearOne(difference: bigint, total: bigint, sign: 0 | 1, exponent: number): Approximate {
  // z = difference / total x 2^exponent; log2 = 2 artanh(z) / ln 2
  const shift = Math.max(0, bitLength(total) - bitLength(difference) + WIDTH + 1);
  const z = (difference << BigInt(shift)) / total;
  const factor = (areaTangentFactor(fixed(z, exponent - shift)) << (W + 1n)) / LN2;
  return { sign, significand: z * factor, exponent: exponent - shift - WIDTH, exact: false };
}

/** log2 of significand x 2^exponent, which is positive and not 1. */
function logarithmOf(significand: bigint, exponent: number): Approximate {
  const length = bitLength(significand);
  let power = exponent + length - 1;
  let one = 1n << BigInt(length - 1);
  if (significand === one) return integer(power);
  // Within sqrt(1/2) to sqrt(2): the mantissa 1.5 is near enough to the middle.
  if (significand > one + (one >> 1n)) {
    one <<= 1n;
    power += 1;
  }
  const below = significand < one;
  const part = logarithmNearOne(below ? one - significand : significand - one, one + significand, below ? 1 : 0, 0);
  if (power === 0) return part;
  const fraction = fixed(part.significand, part.exponent);
  const total = (BigInt(power) << W) + (below ? -fraction : fraction);
  return { sign: total < 0n ? 1 : 0, significand: total < 0n ? -total : total, exponent: -WIDTH, exact: false };
}

function integer(value: number): Approximate {
  return { sign: value < 0 ? 1 : 0, significand: BigInt(Math.abs(value)), exponent: 0, exact: true };
}

export function logarithm(a: Unpacked): Approximate {
  return logarithmOf(a.significand, a.exponent - 63);
}

/** log2(1 + a) for a above -1 and not zero. */
export function logarithmPlusOne(a: Unpacked): Approximate {
  if (a.exponent < -200) return logarithmNearOne(a.significand, 1n, a.sign, a.exponent - 64);
  const magnitude = a.significand << BigInt(Math.max(0, a.exponent - 63));
  const one = 1n << BigInt(Math.max(0, 63 - a.exponent));
  const exponent = Math.min(0, a.exponent - 63);
  const signed = a.sign === 1 ? -magnitude : magnitude;
  if (a.exponent < -2) return logarithmNearOne(magnitude, 2n * one + signed, a.sign, 0);
  return logarithmOf(one + signed, exponent);
}

export function product(a: Unpacked, b: Approximate): Approximate {
  return {
    sign: a.sign === b.sign ? 0 : 1,
    significand: a.significand * b.significand,
    exponent: a.exponent - 63 + b.exponent,
    exact: b.exact,
  };
}

/** A multiple of pi/4 with the sign given. */
export function quarterPi(multiple: number, sign: 0 | 1): Approximate {
  return { sign, significand: PI * BigInt(multiple), exponent: -WIDTH - 2, exact: false };
}

/** The angle of the point (x, y), both finite and not zero. */
export function arcTangent(y: Unpacked, x: Unpacked): Approximate {
  const steep = y.exponent > x.exponent || (y.exponent === x.exponent && y.significand > x.significand);
  const ratio = steep ? quotient(plainOf(x), plainOf(y)) : quotient(plainOf(y), plainOf(x));
  const factor = arcTangentFactor(fixed(ratio.significand, ratio.exponent));
  const angle = { ...ratio, sign: y.sign, significand: ratio.significand * factor, exponent: ratio.exponent - WIDTH };
  if (!steep && x.sign === 0) return angle;
  const small = fixed(angle.significand, angle.exponent);
  const whole = steep ? PI / 2n : PI;
  const total = steep && x.sign === 1 ? whole + small : whole - small;
  return { sign: y.sign, significand: total, exponent: -WIDTH, exact: false };
}

function plainOf(a: Unpacked): Approximate {
  return { sign: 0, significand: a.significand, exponent: a.exponent - 63, exact: true };
}
