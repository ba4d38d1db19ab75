// SPDX-License-Identifier: Apache-2.0
import { STATE } from '../state.ts';
import type { Operation, Value } from './operation.ts';

/**
 * When a floating-point operation of WebAssembly does all that one of SSE would do: the same result, and nothing in
 * MXCSR. What cannot be shown here escapes to the exact microcode (../sse-float/).
 *
 * WebAssembly rounds to nearest, never flushes, raises nothing, and is the same everywhere unless a NaN comes out. So:
 * MXCSR says the same and has all exceptions masked; no operand is denormal (DE, DAZ); no result is a NaN or infinite
 * (IE, ZE, OE, which rules out such operands too) or near underflow (UE, FTZ); inexact is already set (PE), or the
 * result is shown to be exact.
 */

/** FTZ, RC, masks, DAZ and PE as they must be; the other flags are sticky and may be either. See: SDM 10.2.3 MXCSR Control and Status Register. */
const MXCSR_LOOKED_AT = 0xffe0;
const MXCSR_ORDINARY = 0x1fa0;
const MXCSR_INEXACT = 0x20;

/** A format's types and the place of its exponent once the sign is shifted out. */
export interface FloatFormat {
  readonly float: 'f32' | 'f64';
  readonly integer: 'i32' | 'i64';
  readonly bits: 32 | 64;
  /** The exponent's lowest bit, after doubling. */
  readonly exponentShift: number;
  readonly bias: number;
  /** Names of the SIMD operations on vectors of it begin with this. */
  readonly shape: 'f32x4' | 'f64x2';
}

export const SINGLE: FloatFormat = {
  float: 'f32',
  integer: 'i32',
  bits: 32,
  exponentShift: 24,
  bias: 127,
  shape: 'f32x4',
};
export const DOUBLE: FloatFormat = {
  float: 'f64',
  integer: 'i64',
  bits: 64,
  exponentShift: 53,
  bias: 1023,
  shape: 'f64x2',
};

/** Rounding is not to nearest, something is unmasked or flushed, or an inexact result would set PE. */
export function unusualMode(o: Operation): Value {
  return o.readState(STATE.mxcsr, 'i32').and(MXCSR_LOOKED_AT).ne(MXCSR_ORDINARY);
}

/** Escapes from an unusual mode, except that PE may be clear if the result is exact: that is asked only then. */
export function escapeUnusualMode(o: Operation, exact: () => Value): void {
  const mode = o.readState(STATE.mxcsr, 'i32').and(MXCSR_LOOKED_AT);
  o.when(mode.ne(MXCSR_ORDINARY), () => o.escape(mode.ne(MXCSR_ORDINARY - MXCSR_INEXACT).or(exact().not())));
}

// --- scalars -----------------------------------------------------------------------------------------------------

/** A number's encoding without its sign: twice the magnitude's bits. */
export function magnitude(value: Value, format: FloatFormat): Value {
  return value.reinterpret(format.integer).shl(1);
}

function exponent(doubled: Value, format: FloatFormat): Value {
  return doubled.shr(format.exponentShift);
}
function exponentMask({ bias }: FloatFormat): number {
  return bias * 2 + 1;
}

/** Of a magnitude: a denormal, or the least normal number, which comes for nothing. Zero becomes the largest of all. */
export function isDenormal(doubled: Value, format: FloatFormat): Value {
  return exponent(doubled.sub(1), format).isZero();
}
/** Of a magnitude: infinite or a NaN. */
export function isSpecial(doubled: Value, format: FloatFormat): Value {
  return exponent(doubled, format).eq(exponentMask(format));
}
/** Of a magnitude: zero, denormal, among the least normal numbers, infinite or a NaN. */
export function isExtreme(doubled: Value, format: FloatFormat): Value {
  const least = 2;
  return exponent(doubled, format)
    .sub(least)
    .ltu(exponentMask(format) - least)
    .not();
}
/** Of a magnitude: not below 2^power. */
export function reaches(doubled: Value, format: FloatFormat, power: number): Value {
  return exponent(doubled, format)
    .ltu(format.bias + power)
    .not();
}

// --- scalars: results that are not rounded -------------------------------------------------------------------------

/** What a sum or difference holds of either operand is all of it: the error is zero (Knuth's TwoSum). */
export function isExactSum(operator: 'add' | 'sub', a: Value, b: Value, result: Value): Value {
  const rest = result.sub(a);
  const ofB = operator === 'add' ? rest : a.sub(result);
  return ofB.eq(b).and(result.sub(rest).eq(a));
}

/** Zeros at the end of a significand. */
function trailingZeros(value: Value, { integer, exponentShift }: FloatFormat): Value {
  return value
    .reinterpret(integer)
    .or(1n << BigInt(exponentShift - 1))
    .ctz();
}
/** Two significands whose product has no more bits than one. */
export function isExactProduct(a: Value, b: Value, format: FloatFormat): Value {
  return trailingZeros(a, format).add(trailingZeros(b, format)).ltu(format.exponentShift).not();
}

// --- vectors: what holds in any lane -------------------------------------------------------------------------------

/** 16 bytes of a number that every lane holds. */
function splat(o: Operation, value: number, { bits }: FloatFormat): Value {
  const lanes = bits === 64 ? Float64Array.of(value, value) : Float32Array.of(value, value, value, value);
  return o.vector([...new Uint8Array(lanes.buffer)]);
}

function leastNormal({ bias }: FloatFormat): number {
  return 2 ** (1 - bias);
}
function largest({ bits }: FloatFormat): number {
  return bits === 64 ? Number.MAX_VALUE : (2 - 2 ** -23) * 2 ** 127;
}

/** Lanes of a vector that are denormal. */
export function denormalLanes(o: Operation, a: Value, format: FloatFormat): Value {
  const { shape } = format;
  const small = a.simd(`${shape}_abs`).simd(`${shape}_lt`, splat(o, leastNormal(format), format));
  return small.simd('v128_and', nonzeroLanes(o, a, format));
}
export function nonzeroLanes(o: Operation, a: Value, format: FloatFormat): Value {
  return a.simd(`${format.shape}_ne`, splat(o, 0, format));
}
/** Lanes that are infinite or NaNs. */
export function specialLanes(o: Operation, a: Value, format: FloatFormat): Value {
  const { shape } = format;
  return a
    .simd(`${shape}_abs`)
    .simd(`${shape}_le`, splat(o, largest(format), format))
    .simd('v128_not');
}
/** Lanes that are NaNs. */
export function nanLanes(a: Value, { shape }: FloatFormat): Value {
  return a.simd(`${shape}_ne`, a);
}
/** Lanes that are zero, denormal, the least normal number, infinite or NaNs. */
export function extremeLanes(o: Operation, a: Value, format: FloatFormat): Value {
  const { shape } = format;
  const size = a.simd(`${shape}_abs`);
  const above = size.simd(`${shape}_gt`, splat(o, leastNormal(format), format));
  return above.simd('v128_and', size.simd(`${shape}_le`, splat(o, largest(format), format))).simd('v128_not');
}
/** Lanes that are not below 2^power in magnitude, or NaNs. */
export function reachingLanes(o: Operation, a: Value, format: FloatFormat, power: number): Value {
  const { shape } = format;
  return a
    .simd(`${shape}_abs`)
    .simd(`${shape}_lt`, splat(o, 2 ** power, format))
    .simd('v128_not');
}

export function anyOf(...lanes: readonly Value[]): Value {
  return lanes.reduce((all, some) => all.simd('v128_or', some)).simd('v128_any_true');
}
