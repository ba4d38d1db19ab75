// SPDX-License-Identifier: Apache-2.0
import { constant, both, packed, zeroVector } from './vector.ts';
import type { Compute, Hot } from './vector.ts';
import type { SimdName } from '../../wasm/opcodes.ts';
import type { Description, Operation, Value } from './operation.ts';

/** Packed integers, lane by lane: arithmetic, logic, comparison. */

const lanewise =
  (name: SimdName): Compute =>
  (_o, a, b) =>
    a.simd(name, b);

/** One WebAssembly operation, in XMM and MMX registers. */
function same(mnemonic: string, name: SimdName, hot: Hot = 'none'): Description[] {
  return both(mnemonic, lanewise(name), hot);
}
/** One WebAssembly operation, in XMM registers only. */
function wide(mnemonic: string, name: SimdName): Description[] {
  return packed(mnemonic, lanewise(name));
}

const lanes = (...numbers: number[]): number[] => numbers.flatMap((lane) => [lane, lane + 1]);
/** The upper words of eight products, four in each vector. */
const UPPER_WORDS = lanes(2, 6, 10, 14, 18, 22, 26, 30);
/** Dwords 0 and 2, as the low half of a vector. */
const EVEN_DWORDS = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];

function multiplyHigh(sign: 's' | 'u'): Compute {
  return (_o, a, b) =>
    a.simd(`i32x4_extmul_low_i16x8_${sign}`, b).shuffle(a.simd(`i32x4_extmul_high_i16x8_${sign}`, b), UPPER_WORDS);
}
function multiplyEven(sign: 's' | 'u'): Compute {
  return (_o, a, b) => a.shuffle(a, EVEN_DWORDS).simd(`i64x2_extmul_low_i32x4_${sign}`, b.shuffle(b, EVEN_DWORDS));
}

/** Rounded (a * b) >> 15. WebAssembly saturates the one product that does not fit, -1 * -1; here it wraps. */
function multiplyRounded(o: Operation, a: Value, b: Value): Value {
  const least = constant(o, 2, [0x8000]);
  const wrapped = a.simd('i16x8_eq', least).simd('v128_and', b.simd('i16x8_eq', least));
  return a.simd('i16x8_q15mulr_sat_s', b).simd('v128_xor', wrapped);
}

/** Unsigned bytes of the first times signed bytes of the second, neighbours added with saturation. */
function multiplyAddBytes(o: Operation, a: Value, b: Value): Value {
  const eight = o.constant('i32', 8);
  const even = a
    .simd('v128_and', constant(o, 2, [0xff]))
    .simd('i16x8_mul', b.simd('i16x8_shl', eight).simd('i16x8_shr_s', eight));
  const odd = a.simd('i16x8_shr_u', eight).simd('i16x8_mul', b.simd('i16x8_shr_s', eight));
  return even.simd('i16x8_add_sat_s', odd);
}

/** Negated where the second operand is negative, zero where it is zero. */
function sign(shape: 'i8x16' | 'i16x8' | 'i32x4', bits: number): Compute {
  return (o, a, b) => {
    const negative = b.simd(`${shape}_shr_s`, o.constant('i32', bits - 1));
    const zero = b.simd(`${shape}_eq`, zeroVector(o));
    return a.simd('v128_xor', negative).simd(`${shape}_sub`, negative).simd('v128_andnot', zero);
  };
}

/** The sum of the absolute differences of eight bytes, in each half. */
function sumOfDifferences(o: Operation, a: Value, b: Value): Value {
  const differences = a.simd('i8x16_sub_sat_u', b).simd('v128_or', b.simd('i8x16_sub_sat_u', a));
  const quarters = differences.simd('i16x8_extadd_pairwise_i8x16_u').simd('i32x4_extadd_pairwise_i16x8_u');
  return quarters
    .simd('i64x2_shr_u', o.constant('i32', 32))
    .simd('i64x2_add', quarters)
    .simd('v128_and', constant(o, 4, [0xffff, 0]));
}

// prettier-ignore
export const VECTOR_INTEGERS: readonly Description[] = [
  ...same('PAND',    'v128_and', 'all'),
  ...same('POR',     'v128_or',  'all'),
  ...same('PXOR',    'v128_xor', 'all'),
  ...both('PANDN',   (_o, a, b) => b.simd('v128_andnot', a), 'registers'),

  ...same('PADDB',   'i8x16_add', 'registers'),
  ...same('PADDW',   'i16x8_add', 'registers'),
  ...same('PADDD',   'i32x4_add', 'all'),
  ...same('PADDQ',   'i64x2_add', 'all'),
  ...same('PADDSB',  'i8x16_add_sat_s'),
  ...same('PADDSW',  'i16x8_add_sat_s'),
  ...same('PADDUSB', 'i8x16_add_sat_u'),
  ...same('PADDUSW', 'i16x8_add_sat_u'),
  ...same('PSUBB',   'i8x16_sub', 'registers'),
  ...same('PSUBW',   'i16x8_sub'),
  ...same('PSUBD',   'i32x4_sub', 'registers'),
  ...same('PSUBQ',   'i64x2_sub', 'registers'),
  ...same('PSUBSB',  'i8x16_sub_sat_s'),
  ...same('PSUBSW',  'i16x8_sub_sat_s'),
  ...same('PSUBUSB', 'i8x16_sub_sat_u'),
  ...same('PSUBUSW', 'i16x8_sub_sat_u'),

  ...same('PCMPEQB', 'i8x16_eq', 'all'),
  ...same('PCMPEQW', 'i16x8_eq'),
  ...same('PCMPEQD', 'i32x4_eq', 'registers'),
  ...wide('PCMPEQQ', 'i64x2_eq'),
  ...same('PCMPGTB', 'i8x16_gt_s', 'registers'),
  ...same('PCMPGTW', 'i16x8_gt_s'),
  ...same('PCMPGTD', 'i32x4_gt_s', 'registers'),
  ...wide('PCMPGTQ', 'i64x2_gt_s'),

  ...same('PMINUB',  'i8x16_min_u', 'all'),
  ...same('PMAXUB',  'i8x16_max_u'),
  ...same('PMINSW',  'i16x8_min_s'),
  ...same('PMAXSW',  'i16x8_max_s'),
  ...wide('PMINSB',  'i8x16_min_s'),
  ...wide('PMINSD',  'i32x4_min_s'),
  ...wide('PMINUW',  'i16x8_min_u'),
  ...wide('PMINUD',  'i32x4_min_u'),
  ...wide('PMAXSB',  'i8x16_max_s'),
  ...wide('PMAXSD',  'i32x4_max_s'),
  ...wide('PMAXUW',  'i16x8_max_u'),
  ...wide('PMAXUD',  'i32x4_max_u'),
  ...same('PAVGB',   'i8x16_avgr_u'),
  ...same('PAVGW',   'i16x8_avgr_u'),

  ...same('PMULLW',  'i16x8_mul'),
  ...wide('PMULLD',  'i32x4_mul'),
  ...same('PMADDWD', 'i32x4_dot_i16x8_s'),
  ...both('PMULHW',    multiplyHigh('s')),
  ...both('PMULHUW',   multiplyHigh('u')),
  ...both('PMULUDQ',   multiplyEven('u'), 'registers'),
  ...packed('PMULDQ',  multiplyEven('s')),
  ...both('PMULHRSW',  multiplyRounded),
  ...both('PMADDUBSW', multiplyAddBytes),
  ...both('PSADBW',    sumOfDifferences),

  ...both('PABSB',     (_o, _a, b) => b.simd('i8x16_abs')),
  ...both('PABSW',     (_o, _a, b) => b.simd('i16x8_abs')),
  ...both('PABSD',     (_o, _a, b) => b.simd('i32x4_abs')),
  ...both('PSIGNB',    sign('i8x16', 8)),
  ...both('PSIGNW',    sign('i16x8', 16)),
  ...both('PSIGND',    sign('i32x4', 32)),
];
