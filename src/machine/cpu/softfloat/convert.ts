// SPDX-License-Identifier: Apache-2.0
import { EXCEPTION } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import { KIND, packSpecial, zero } from './format.ts';
import type { Format, Unpacked } from './format.ts';
import { noteDenormals, propagateNan } from './nan.ts';
import { roundInteger, roundPack } from './round.ts';

/** Gives a value in another format (or the same, rounded by precision control). Quiets NaNs; raises denormal for a denormal. */
export function convert(env: FloatEnvironment, format: Format, a: Unpacked): bigint {
  const nan = propagateNan(env, a);
  if (nan) return packSpecial(format, nan);
  noteDenormals(env, a);
  if (a.kind !== KIND.finite) return packSpecial(format, a);
  return roundPack(env, format, a.sign, a.exponent - 63, a.significand);
}

/** Encodes a signed integer. */
export function fromInteger(env: FloatEnvironment, format: Format, value: bigint): bigint {
  if (value === 0n) return packSpecial(format, zero(0));
  return value < 0n ? roundPack(env, format, 1, 0, -value) : roundPack(env, format, 0, 0, value);
}

/** The magnitude of a finite value as an integer; raises nothing, as it may turn out not to fit. */
function integerMagnitude(rounding: number, a: Unpacked): { value: bigint; inexact: boolean; up: boolean } {
  if (a.exponent < -2) return roundInteger(rounding, a.sign, 0n, 0, true);
  return roundInteger(rounding, a.sign, a.significand, 63 - a.exponent, false);
}

/**
 * Rounds to a signed integer of `bits` bits. What does not fit raises invalid and gives the integer indefinite: only the top bit set.
 * Denormals raise nothing but inexact. See: SDM Table 4-1 and 4.2.1.2 Signed Integers (integer indefinite).
 */
export function toInteger(env: FloatEnvironment, a: Unpacked, bits: number, rounding: number = env.rounding): bigint {
  const limit = 1n << BigInt(bits - 1);
  if (a.kind === KIND.zero) return 0n;
  if (a.kind === KIND.finite && a.exponent < bits) {
    const { value, inexact, up } = integerMagnitude(rounding, a);
    if (value < limit || (a.sign === 1 && value === limit)) {
      if (inexact) env.raise(EXCEPTION.inexact);
      env.roundedUp = up;
      return a.sign === 1 ? -value : value;
    }
  }
  env.raise(EXCEPTION.invalid);
  return -limit;
}

/** Rounds to an integral value in the same format. `quietly` leaves inexact out. A denormal raises denormal only on the x87: `noted`. */
export function roundToIntegral(
  env: FloatEnvironment,
  format: Format,
  a: Unpacked,
  rounding: number,
  quietly = false,
  noted = false,
): bigint {
  const nan = propagateNan(env, a);
  if (nan) return packSpecial(format, nan);
  if (noted) noteDenormals(env, a);
  if (a.kind !== KIND.finite) return packSpecial(format, a);
  if (a.exponent >= 63) return roundPack(env, format, a.sign, a.exponent - 63, a.significand);
  const { value, inexact, up } = integerMagnitude(rounding, a);
  const result = value === 0n ? packSpecial(format, zero(a.sign)) : roundPack(env, format, a.sign, 0, value);
  if (inexact && !quietly) env.raise(EXCEPTION.inexact);
  env.roundedUp = up;
  return result;
}
