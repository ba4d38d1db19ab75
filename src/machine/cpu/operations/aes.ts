// SPDX-License-Identifier: Apache-2.0
import { constant, packed, source, forms } from './vector.ts';
import type { Description, Operation, Value } from './operation.ts';

/**
 * AES rounds on vectors: the S-box as sixteen lookups of sixteen bytes, columns by doubling in GF(2^8). No table in
 * memory, and no branch on data. See: SDM 13.3 Advanced Encryption Standard New Instructions (AESNI).
 */

/** Multiplication in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) product = (product << 1) ^ (product & 0x80 ? 0x11b : 0) ^ ((b >> bit) & 1 ? a : 0);
  return product;
}

/** The inverse in the field, bits mixed by the affine map. */
function substitute(value: number): number {
  let inverse = 1;
  for (let i = 0; i < 254; i++) inverse = multiply(inverse, value);
  let mixed = 0x63;
  for (let turn = 0; turn < 5; turn++) mixed ^= ((inverse << turn) | (inverse >> (8 - turn))) & 0xff;
  return mixed;
}

const SBOX: readonly number[] = Array.from({ length: 256 }, (_, i) => substitute(i));
const INVERSE_SBOX: readonly number[] = Array.from({ length: 256 }, (_, i) => SBOX.indexOf(i));

/** A swizzle gives zero for an index beyond 15, so each of the sixteen rows answers only for its own bytes. */
function substituted(o: Operation, state: Value, box: readonly number[]): Value {
  let result = constant(o, 1, box.slice(0, 16)).simd('i8x16_swizzle', state);
  for (let row = 1; row < 16; row++) {
    const index = state.simd('i8x16_sub', constant(o, 1, [row * 16]));
    result = result.simd('v128_or', constant(o, 1, box.slice(row * 16, row * 16 + 16)).simd('i8x16_swizzle', index));
  }
  return result;
}

/** Byte r + 4c is row r of column c; row r moves by r columns. */
function rowsShifted(state: Value, direction: 1 | -1): Value {
  return state.shuffle(
    state,
    Array.from({ length: 16 }, (_, i) => (i + direction * (i % 4) * 4 + 16) % 16),
  );
}

function columnsTurned(state: Value, rows: number): Value {
  return state.shuffle(
    state,
    Array.from({ length: 16 }, (_, i) => i - (i % 4) + ((i + rows) % 4)),
  );
}

function doubled(o: Operation, state: Value): Value {
  const reduce = state.simd('i8x16_shr_s', o.constant('i32', 7)).simd('v128_and', constant(o, 1, [0x1b]));
  return state.simd('i8x16_add', state).simd('v128_xor', reduce);
}

/** 2 3 1 1: 2a + 3b is a + b doubled, plus b. */
function columnsMixed(o: Operation, a: Value): Value {
  const b = columnsTurned(a, 1);
  const twice = doubled(o, a.simd('v128_xor', b)).simd('v128_xor', b);
  const pair = columnsTurned(a, 2).simd('v128_xor', columnsTurned(a, 3));
  return twice.simd('v128_xor', pair);
}

/** The inverse matrix is the matrix times 5 0 4 0. */
function columnsUnmixed(o: Operation, a: Value): Value {
  const sum = a.simd('v128_xor', columnsTurned(a, 2));
  return columnsMixed(o, a.simd('v128_xor', doubled(o, doubled(o, sum))));
}

function assistKey(o: Operation): void {
  const words = substituted(o, source(o, 1), SBOX);
  const spread = words.shuffle(words, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]);
  const round = o
    .read(2)
    .as('i32')
    .simd('i32x4_splat')
    .simd('v128_and', constant(o, 4, [0, 0xff, 0, 0xff]));
  o.write(0, spread.simd('v128_xor', round));
}

// prettier-ignore
export const AES: readonly Description[] = [
  ...packed('AESENC',     (o, a, key) => columnsMixed(o, substituted(o, rowsShifted(a, 1), SBOX)).simd('v128_xor', key)),
  ...packed('AESENCLAST', (o, a, key) => substituted(o, rowsShifted(a, 1), SBOX).simd('v128_xor', key)),
  ...packed('AESDEC',     (o, a, key) => columnsUnmixed(o, substituted(o, rowsShifted(a, -1), INVERSE_SBOX)).simd('v128_xor', key)),
  ...packed('AESDECLAST', (o, a, key) => substituted(o, rowsShifted(a, -1), INVERSE_SBOX).simd('v128_xor', key)),
  ...packed('AESIMC',     (o, _a, key) => columnsUnmixed(o, key)),
  ...forms('AESKEYGENASSIST', ['x128x128i8', 'x128m128i8'], assistKey),
];
