// SPDX-License-Identifier: Apache-2.0
import {
  DOUBLE,
  SINGLE,
  anyOf,
  denormalLanes,
  escapeUnusualMode,
  extremeLanes,
  isDenormal,
  isExtreme,
  isSpecial,
  magnitude,
  nanLanes,
  nonzeroLanes,
  reachingLanes,
  reaches,
  unusualMode,
} from './float-proof.ts';
import type { FloatFormat } from './float-proof.ts';
import { packedOperand } from './float-packed.ts';
import { escaping, scalarOperand, writeScalar } from './float-scalar.ts';
import type { Description, Operation, Value } from './operation.ts';
import { forms } from './vector.ts';
import type { SimdName } from '../../wasm/opcodes.ts';

/** Conversions between integers and floating point, and between the two formats. */

// --- scalars -----------------------------------------------------------------------------------------------------

function integerOperand(o: Operation): Value {
  const type = o.operands[1].bits === 64 ? 'i64' : 'i32';
  return o.operands[1].kind === 'm' ? o.loadOrEscape(type, o.operandAddress()) : o.read(1);
}

/** Every 32-bit integer is a binary64 number. */
function exactFromInteger(o: Operation): void {
  writeScalar(o, integerOperand(o).toFloat('f64'));
}

/** Beyond the precision of the format the result may be inexact. */
function fromInteger(format: FloatFormat) {
  return (o: Operation): void => {
    const value = integerOperand(o);
    const limit = 2 ** (format.exponentShift - 1);
    o.when(
      value
        .add(limit)
        .ltu(limit * 2)
        .not(),
      () => o.escape(unusualMode(o)),
    );
    writeScalar(o, value.toFloat(format.float));
  };
}

/** Writes a rounded value that fits. */
function writeRounded(o: Operation, value: Value, rounded: Value, format: FloatFormat): void {
  const result = rounded.toSigned(o.operands[0].bits === 64 ? 'i64' : 'i32');
  escapeUnusualMode(o, () => result.toFloat(format.float).eq(value));
  o.write(0, result);
}

/** The value is cut; of those that do not fit the least integer, which would, goes along. */
function toInteger(format: FloatFormat) {
  return (o: Operation): void => {
    const bits = o.operands[0].bits;
    const value = scalarOperand(o, 1, format);
    o.escape(reaches(magnitude(value, format), format, bits - 1));
    writeRounded(o, value, value, format);
  };
}

/** Rounded to nearest first, which may reach the next power of two. */
function toNearestInteger(format: FloatFormat) {
  return (o: Operation): void => {
    const bits = o.operands[0].bits;
    const value = scalarOperand(o, 1, format);
    o.escape(reaches(magnitude(value, format), format, bits - 2));
    writeRounded(o, value, value.rounded('nearest'), format);
  };
}

/** Exact, but a denormal or signaling operand is noted. */
function widen(o: Operation): void {
  const value = scalarOperand(o, 1, SINGLE);
  const size = magnitude(value, SINGLE);
  o.escape(isDenormal(size, SINGLE).or(isSpecial(size, SINGLE)));
  writeScalar(o, value.inFormat('f64'));
}

function narrow(o: Operation): void {
  const value = scalarOperand(o, 1, DOUBLE);
  const result = value.inFormat('f32');
  escapeUnusualMode(o, () => result.inFormat('f64').eq(value));
  o.when(isExtreme(magnitude(result, SINGLE), SINGLE), () => o.escape(magnitude(value, DOUBLE).isZero().not()));
  writeScalar(o, result);
}

// --- vectors -----------------------------------------------------------------------------------------------------

/** Two lanes in the low half of a vector: of a register, or 8 bytes of memory. */
function lowOperand(o: Operation): Value {
  if (o.operands[1].kind !== 'm') return o.read(1);
  return o.loadOrEscape('i64', o.operandAddress()).simd('i64x2_splat');
}

/** Every result is exact. */
function packedFromIntegers(o: Operation): void {
  o.write(0, lowOperand(o).simd('f64x2_convert_low_i32x4_s'));
}
function packedSinglesFromIntegers(o: Operation): void {
  const value = packedOperand(o, 1);
  o.escape(unusualMode(o));
  o.write(0, value.simd('f32x4_convert_i32x4_s'));
}

function packedToIntegers(name: SimdName, format: FloatFormat) {
  return (o: Operation): void => {
    const value = packedOperand(o, 1);
    o.escape(unusualMode(o).or(anyOf(reachingLanes(o, value, format, 31))));
    o.write(0, value.simd(name));
  };
}

function packedToNearestIntegers(name: SimdName, format: FloatFormat) {
  return (o: Operation): void => {
    const value = packedOperand(o, 1);
    o.escape(unusualMode(o).or(anyOf(reachingLanes(o, value, format, 30))));
    o.write(0, value.simd(`${format.shape}_nearest`).simd(name));
  };
}

/** The other half of the operand does not count: the half that does is looked at twice. */
function packedWiden(o: Operation): void {
  const value = lowOperand(o);
  const both = value.shuffle(value, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
  o.escape(anyOf(denormalLanes(o, both, SINGLE), nanLanes(both, SINGLE)));
  o.write(0, value.simd('f64x2_promote_low_f32x4'));
}

/** A result may be zero only for an operand that is; the upper two lanes are zero, whatever comes. */
function packedNarrow(o: Operation): void {
  const value = packedOperand(o, 1);
  const result = value.simd('f32x4_demote_f64x2_zero');
  const extreme = extremeLanes(o, result, SINGLE).simd('i64x2_extend_low_i32x4_s');
  o.escape(unusualMode(o).or(anyOf(extreme.simd('v128_and', nonzeroLanes(o, value, DOUBLE)))));
  o.write(0, result);
}

export const FLOAT_CONVERSIONS: readonly Description[] = [
  ...forms('CVTSI2SD', ['x128r32'], exactFromInteger, 'all'),
  ...escaping('CVTSI2SD', ['x128m32'], exactFromInteger, 'all'),
  ...escaping('CVTSI2SD', ['x128r64', 'x128m64'], fromInteger(DOUBLE), 'registers'),
  ...escaping('CVTSI2SS', ['x128r32', 'x128r64', 'x128m32', 'x128m64'], fromInteger(SINGLE), 'registers'),
  ...escaping('CVTTSD2SI', ['r32x128', 'r64x128', 'r32m64', 'r64m64'], toInteger(DOUBLE), 'registers'),
  ...escaping('CVTTSS2SI', ['r32x128', 'r64x128', 'r32m32', 'r64m32'], toInteger(SINGLE), 'registers'),
  ...escaping('CVTSD2SI', ['r32x128', 'r64x128', 'r32m64', 'r64m64'], toNearestInteger(DOUBLE)),
  ...escaping('CVTSS2SI', ['r32x128', 'r64x128', 'r32m32', 'r64m32'], toNearestInteger(SINGLE)),
  ...escaping('CVTSS2SD', ['x128x128', 'x128m32'], widen, 'all'),
  ...escaping('CVTSD2SS', ['x128x128', 'x128m64'], narrow, 'registers'),

  ...forms('CVTDQ2PD', ['x128x128'], packedFromIntegers),
  ...escaping('CVTDQ2PD', ['x128m64'], packedFromIntegers),
  ...escaping('CVTDQ2PS', ['x128x128', 'x128m128'], packedSinglesFromIntegers),
  ...escaping('CVTTPS2DQ', ['x128x128', 'x128m128'], packedToIntegers('i32x4_trunc_sat_f32x4_s', SINGLE)),
  ...escaping('CVTTPD2DQ', ['x128x128', 'x128m128'], packedToIntegers('i32x4_trunc_sat_f64x2_s_zero', DOUBLE)),
  ...escaping('CVTPS2DQ', ['x128x128', 'x128m128'], packedToNearestIntegers('i32x4_trunc_sat_f32x4_s', SINGLE)),
  ...escaping('CVTPD2DQ', ['x128x128', 'x128m128'], packedToNearestIntegers('i32x4_trunc_sat_f64x2_s_zero', DOUBLE)),
  ...escaping('CVTPS2PD', ['x128x128', 'x128m64'], packedWiden),
  ...escaping('CVTPD2PS', ['x128x128', 'x128m128'], packedNarrow),
];
