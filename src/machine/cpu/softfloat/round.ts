// SPDX-License-Identifier: Apache-2.0
import { EXCEPTION, ROUNDING } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import { EXTENDED80, bitLength, encode } from './format.ts';
import type { Format } from './format.ts';

/** What is added to the exponent of an unmasked underflow, and taken from that of an overflow. See: SDM 8.5.4 Numeric Overflow Exception (#O). */
const EXTENDED_BIAS_ADJUSTMENT = 24576;

/** An integer after rounding; `up` says that its magnitude grew. */
export interface Rounded {
  readonly value: bigint;
  readonly inexact: boolean;
  readonly up: boolean;
}

/** significand x 2^exponent, above zero; `sticky` says that the true magnitude is a little, less than one unit, above that. */
interface Exact {
  readonly sign: 0 | 1;
  readonly exponent: number;
  readonly significand: bigint;
  readonly sticky: boolean;
}

/** Rounded to the destination's precision as if exponents had no bounds: `leading` is the exponent of the first bit. */
interface Unbounded extends Rounded {
  readonly sign: 0 | 1;
  readonly leading: number;
}

/** Drops `shift` low bits of a magnitude (or appends zeroes when it is negative) by a rounding mode; `sticky` as in `Exact`. */
export function roundInteger(
  rounding: number,
  sign: 0 | 1,
  significand: bigint,
  shift: number,
  sticky: boolean,
): Rounded {
  // The tail becomes a bit of its own, below room for a half.
  const wide = sticky ? (significand << 2n) | 1n : significand;
  const drop = sticky ? shift + 2 : shift;
  if (drop <= 0) return { value: wide << BigInt(-drop), inexact: false, up: false };
  const truncated = wide >> BigInt(drop);
  const rest = wide - (truncated << BigInt(drop));
  if (rest === 0n) return { value: truncated, inexact: false, up: false };
  const up = roundsUp(rounding, sign, truncated, rest, 1n << BigInt(drop - 1));
  return { value: up ? truncated + 1n : truncated, inexact: true, up };
}

function roundsUp(rounding: number, sign: 0 | 1, truncated: bigint, rest: bigint, half: bigint): boolean {
  if (rounding === ROUNDING.nearest) return rest > half || (rest === half && (truncated & 1n) === 1n);
  return rounding === (sign === 1 ? ROUNDING.down : ROUNDING.up);
}

function precisionOf(env: FloatEnvironment, format: Format): number {
  return format === EXTENDED80 ? env.precision : format.precision;
}

/**
 * Rounds `significand` x 2^`exponent` (above zero) to a format and encodes it, raising overflow, underflow and inexact.
 * A result is tiny if it is so after rounding with an unbounded exponent. See: SDM 4.9.1.5 Numeric Underflow Exception (#U).
 * For a binary32 or binary64 destination the result means nothing when overflow or underflow is unmasked.
 */
export function roundPack(
  env: FloatEnvironment,
  format: Format,
  sign: 0 | 1,
  exponent: number,
  significand: bigint,
  sticky = false,
): bigint {
  const unbounded = roundUnbounded(env, format, sign, exponent, significand, sticky);
  if (unbounded.leading < 1 - format.bias)
    return underflow(env, format, { sign, exponent, significand, sticky }, unbounded);
  if (unbounded.leading > format.bias) return overflow(env, format, unbounded);
  note(env, unbounded);
  return encodeNormal(env, format, unbounded, 0);
}

function roundUnbounded(
  env: FloatEnvironment,
  format: Format,
  sign: 0 | 1,
  exponent: number,
  significand: bigint,
  sticky: boolean,
): Unbounded {
  const precision = precisionOf(env, format);
  const drop = bitLength(significand) - precision;
  const { value, inexact, up } = roundInteger(env.rounding, sign, significand, drop, sticky);
  // Rounding may carry into the next power of two.
  const carried = bitLength(value) > precision ? 1 : 0;
  return { sign, value: value >> BigInt(carried), inexact, up, leading: exponent + drop + precision - 1 + carried };
}

function note(env: FloatEnvironment, rounded: Rounded): void {
  if (rounded.inexact) env.raise(EXCEPTION.inexact);
  env.roundedUp = rounded.up;
}

function encodeNormal(env: FloatEnvironment, format: Format, rounded: Unbounded, adjustment: number): bigint {
  const unused = BigInt(format.precision - precisionOf(env, format));
  return encode(format, rounded.sign, rounded.leading + format.bias + adjustment, rounded.value << unused);
}

function overflow(env: FloatEnvironment, format: Format, rounded: Unbounded): bigint {
  env.raise(EXCEPTION.overflow);
  const unmasked = !env.isMasked(EXCEPTION.overflow);
  if (unmasked) {
    note(env, rounded);
    if (format !== EXTENDED80) return 0n;
    const fits = rounded.leading - EXTENDED_BIAS_ADJUSTMENT <= format.bias;
    if (fits) return encodeNormal(env, format, rounded, -EXTENDED_BIAS_ADJUSTMENT);
  }
  env.raise(EXCEPTION.inexact);
  return overflowed(env, format, rounded.sign, unmasked);
}

/** Infinity, or the largest finite value where the rounding mode points away from it; FSCALE's massive overflow is always infinite. */
function overflowed(env: FloatEnvironment, format: Format, sign: 0 | 1, massive: boolean): bigint {
  const precision = precisionOf(env, format);
  const away = env.rounding === ROUNDING.nearest || env.rounding === (sign === 1 ? ROUNDING.down : ROUNDING.up);
  env.roundedUp = away || massive;
  if (env.roundedUp) return encode(format, sign, format.exponentMask, 1n << BigInt(format.precision - 1));
  const largest = ((1n << BigInt(precision)) - 1n) << BigInt(format.precision - precision);
  return encode(format, sign, format.exponentMask - 1, largest);
}

function underflow(env: FloatEnvironment, format: Format, exact: Exact, rounded: Unbounded): bigint {
  if (!env.isMasked(EXCEPTION.underflow)) {
    env.raise(EXCEPTION.underflow);
    note(env, rounded);
    if (format !== EXTENDED80) return 0n;
    const fits = rounded.leading + EXTENDED_BIAS_ADJUSTMENT >= 1 - format.bias;
    if (fits) return encodeNormal(env, format, rounded, EXTENDED_BIAS_ADJUSTMENT);
  } else if (!env.flushToZero) return denormalize(env, format, exact);
  // Flushed by MXCSR.FTZ, or FSCALE's massive underflow.
  env.raise(EXCEPTION.underflow | EXCEPTION.inexact);
  env.roundedUp = false;
  return encode(format, exact.sign, 0, 0n);
}

function denormalize(env: FloatEnvironment, format: Format, exact: Exact): bigint {
  const precision = precisionOf(env, format);
  const lowest = 2 - format.bias - precision;
  const denormal = roundInteger(env.rounding, exact.sign, exact.significand, lowest - exact.exponent, exact.sticky);
  if (denormal.inexact) env.raise(EXCEPTION.underflow | EXCEPTION.inexact);
  env.roundedUp = denormal.up;
  // Rounding may reach the smallest normal number, whose exponent field is 1.
  const field = bitLength(denormal.value) === precision ? 1 : 0;
  return encode(format, exact.sign, field, denormal.value << BigInt(format.precision - precision));
}
