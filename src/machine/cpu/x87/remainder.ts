// SPDX-License-Identifier: Apache-2.0
import { EXCEPTION, ROUNDING } from '../softfloat/environment.ts';
import type { FloatEnvironment } from '../softfloat/environment.ts';
import { EXTENDED80, KIND, infinity, packSpecial, zero } from '../softfloat/format.ts';
import type { Unpacked } from '../softfloat/format.ts';
import { invalid, noteDenormals, propagateNan } from '../softfloat/nan.ts';
import { fromInteger, toInteger } from '../softfloat/convert.ts';
import { roundPack } from '../softfloat/round.ts';
import { plain } from './instruction.ts';
import type { X87Instruction } from './instruction.ts';
import { FSW } from './registers.ts';
import { INDEFINITE_BITS } from './x87.ts';
import type { X87 } from './x87.ts';

/** From this distance of exponents on, one execution reduces only partly. See: SDM FPREM—Partial Remainder. */
const PARTIAL = 64;

interface Remainder {
  readonly bits: bigint;
  /** C0, C3 and C1 are bits 2, 1 and 0 of the quotient; C2 says that the reduction is not complete. Absent: only C1 and C2 change. */
  readonly conditions?: number;
}

function quotientConditions(quotient: bigint): number {
  const low = Number(quotient & 7n);
  return ((low & 4) !== 0 ? FSW.c0 : 0) | ((low & 2) !== 0 ? FSW.c3 : 0) | ((low & 1) !== 0 ? FSW.c1 : 0);
}

function remainder(env: FloatEnvironment, a: Unpacked, b: Unpacked, toNearest: boolean): Remainder {
  const nan = propagateNan(env, a, b);
  if (nan) return { bits: packSpecial(EXTENDED80, nan) };
  if (a.kind === KIND.infinity || b.kind === KIND.zero) return { bits: packSpecial(EXTENDED80, invalid(env)) };
  noteDenormals(env, a, b);
  if (a.kind === KIND.zero) return { bits: packSpecial(EXTENDED80, a), conditions: 0 };
  const distance = a.exponent - b.exponent;
  if (b.kind === KIND.infinity || distance < -1)
    return { bits: exact(env, a.sign, a.exponent - 63, a.significand), conditions: 0 };
  if (distance < PARTIAL) return wholeRemainder(env, a, b, distance, toNearest);
  return partialRemainder(env, a, b, distance);
}

function exact(env: FloatEnvironment, sign: 0 | 1, exponent: number, significand: bigint): bigint {
  if (significand === 0n) return packSpecial(EXTENDED80, zero(sign));
  return roundPack(env, EXTENDED80, sign, exponent, significand);
}

function wholeRemainder(
  env: FloatEnvironment,
  a: Unpacked,
  b: Unpacked,
  distance: number,
  toNearest: boolean,
): Remainder {
  // Both in units of the lower exponent.
  const lower = Math.min(distance, 0);
  const dividend = a.significand << BigInt(distance - lower);
  const divisor = b.significand << BigInt(-lower);
  let quotient = dividend / divisor;
  let rest = dividend - quotient * divisor;
  let { sign } = a;
  const twice = rest * 2n;
  if (toNearest && (twice > divisor || (twice === divisor && (quotient & 1n) === 1n))) {
    quotient += 1n;
    rest = divisor - rest;
    sign = sign === 1 ? 0 : 1;
  }
  return { bits: exact(env, sign, b.exponent - 63 + lower, rest), conditions: quotientConditions(quotient) };
}

/** Reduces the exponent by 32 to 63: which, the SDM leaves open. A multiple of 32 remains. */
function partialRemainder(env: FloatEnvironment, a: Unpacked, b: Unpacked, distance: number): Remainder {
  const reduced = (distance & 31) | 32;
  const rest = (a.significand << BigInt(reduced)) % b.significand;
  const exponent = b.exponent - 63 + distance - reduced;
  return { bits: exact(env, a.sign, exponent, rest), conditions: FSW.c2 };
}

function executeRemainder(x87: X87, toNearest: boolean): void {
  x87.fsw &= ~FSW.c2;
  if (x87.isEmpty(0) || x87.isEmpty(1)) {
    if (x87.stackFault(false)) x87.set(0, INDEFINITE_BITS);
    return;
  }
  const { bits, conditions } = remainder(x87.begin(), x87.value(0), x87.value(1), toNearest);
  if (!x87.finish()) return;
  x87.set(0, bits);
  if (conditions !== undefined) x87.setConditions(conditions);
}

/** Beyond it, every scaled value over- or underflows, even with an adjusted exponent. */
const SCALE_LIMIT = 0x10000;

/** ST(0) x 2^ST(1), the latter truncated. See: SDM Table 3-27 FSCALE Results. */
function scale(env: FloatEnvironment, a: Unpacked, b: Unpacked): bigint {
  const nan = propagateNan(env, a, b);
  if (nan) return packSpecial(EXTENDED80, nan);
  if (b.kind === KIND.infinity) {
    if (a.kind === (b.sign === 1 ? KIND.infinity : KIND.zero)) return packSpecial(EXTENDED80, invalid(env));
    noteDenormals(env, a);
    return packSpecial(EXTENDED80, b.sign === 1 ? zero(a.sign) : infinity(a.sign));
  }
  noteDenormals(env, a, b);
  if (a.kind !== KIND.finite) return packSpecial(EXTENDED80, a);
  return roundPack(env, EXTENDED80, a.sign, a.exponent - 63 + scaleBy(env, b), a.significand);
}

function scaleBy(env: FloatEnvironment, b: Unpacked): number {
  if (b.kind === KIND.zero) return 0;
  if (b.exponent > 16) return b.sign === 1 ? -SCALE_LIMIT : SCALE_LIMIT;
  const { flags } = env;
  const power = Number(toInteger(env, b, 32, ROUNDING.zero));
  env.flags = flags;
  return power;
}

function executeScale(x87: X87): void {
  if (x87.isEmpty(0) || x87.isEmpty(1)) {
    if (x87.stackFault(false)) x87.set(0, INDEFINITE_BITS);
    return;
  }
  const result = scale(x87.begin(), x87.value(0), x87.value(1));
  if (x87.finish()) x87.set(0, result);
}

/** The exponent of a value as a number, and the value with exponent 0. See: SDM FXTRACT—Extract Exponent and Significand. */
function extract(env: FloatEnvironment, a: Unpacked): { exponent: bigint; significand: bigint } {
  const nan = propagateNan(env, a);
  if (nan) return { exponent: packSpecial(EXTENDED80, nan), significand: packSpecial(EXTENDED80, nan) };
  noteDenormals(env, a);
  if (a.kind === KIND.infinity)
    return { exponent: packSpecial(EXTENDED80, infinity(0)), significand: packSpecial(EXTENDED80, a) };
  if (a.kind === KIND.zero) {
    env.raise(EXCEPTION.zeroDivide);
    return { exponent: packSpecial(EXTENDED80, infinity(1)), significand: packSpecial(EXTENDED80, a) };
  }
  return {
    exponent: fromInteger(env, EXTENDED80, BigInt(a.exponent)),
    significand: roundPack(env, EXTENDED80, a.sign, -63, a.significand),
  };
}

function executeExtract(x87: X87): void {
  if (x87.isEmpty(0) || !x87.isEmpty(-1)) {
    if (!x87.stackFault(!x87.isEmpty(0))) return;
    x87.set(0, INDEFINITE_BITS);
    x87.push(INDEFINITE_BITS);
    return;
  }
  const { exponent, significand } = extract(x87.begin(), x87.value(0));
  if (!x87.finish()) return;
  x87.set(0, exponent);
  x87.push(significand);
}

export const REMAINDER: readonly X87Instruction[] = [
  plain('FPREM', (x87) => executeRemainder(x87, false)),
  plain('FPREM1', (x87) => executeRemainder(x87, true)),
  plain('FSCALE', executeScale),
  plain('FXTRACT', executeExtract),
];
