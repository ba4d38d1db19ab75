// SPDX-License-Identifier: Apache-2.0
import { constant, high, low } from './vector.ts';
import { withImmediate } from './vector-shuffle.ts';
import type { Description, Operation, Value } from './operation.ts';

/** PCLMULQDQ from ordinary multiplications. */

const EVERY_FOURTH = 0x1111_1111_1111_1111n;

/**
 * The low 64 bits of the product of two polynomials over GF(2). With three zeros between the bits that count, the carries of
 * an integer product never reach the next such bit (at most 15 are summed there, but for the topmost, whose carry is lost).
 */
function lowProduct(x: Value, y: Value): Value {
  const parts = (value: Value): Value[] => [0n, 1n, 2n, 3n].map((place) => value.and(EVERY_FOURTH << place));
  const xs = parts(x);
  const ys = parts(y);
  const sums = [0, 1, 2, 3].map((place) => {
    const products = [0, 1, 2, 3].map((i) => xs[i].mul(ys[(place - i + 4) % 4]));
    return products.reduce((sum, product) => sum.xor(product)).and(EVERY_FOURTH << BigInt(place));
  });
  return sums.reduce((all, sum) => all.or(sum));
}

/** Both halves with their bits in reverse order. */
function reversed(o: Operation, vector: Value): Value {
  const nibbles = constant(o, 1, [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15]);
  const four = o.constant('i32', 4);
  const bytes = vector.shuffle(vector, [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8]);
  const upper = nibbles.simd('i8x16_swizzle', bytes.simd('v128_and', constant(o, 1, [15]))).simd('i8x16_shl', four);
  return upper.simd('v128_or', nibbles.simd('i8x16_swizzle', bytes.simd('i8x16_shr_u', four)));
}

/** Bit 0 chooses the half of the destination, bit 4 that of the source. */
function multiplyCarryless(o: Operation, a: Value, b: Value, immediate: Value): Value {
  const x = immediate.bit(0).select(high(a), low(a));
  const y = immediate.bit(4).select(high(b), low(b));
  const mirrored = reversed(o, x.simd('i64x2_splat').lane('i64x2_replace_lane', 1, y));
  const mirroredProduct = lowProduct(low(mirrored), high(mirrored)).simd('i64x2_splat');
  const upper = low(reversed(o, mirroredProduct)).shr(1);
  return lowProduct(x, y).simd('i64x2_splat').lane('i64x2_replace_lane', 1, upper);
}

export const CARRYLESS: readonly Description[] = withImmediate('PCLMULQDQ', multiplyCarryless);
