// SPDX-License-Identifier: Apache-2.0
import {
  bothJoined,
  constant,
  forms,
  high,
  iota,
  join,
  low,
  mmxInstruction,
  mmxVector,
  packed,
  packedMmx,
  source,
  writeMmx,
} from './vector.ts';
import type { Hot } from './vector.ts';
import type { SimdName } from '../../wasm/opcodes.ts';
import type { Description, Operation, Value } from './operation.ts';
import { byteCount } from './vector-shift.ts';

/** Lanes rearranged: pack, unpack, shuffle, align, and pairs of neighbours. */

// --- two vectors to one, by fixed bytes ----------------------------------------------------------------------------

/** Lanes of both operands in turn, from byte `first` of each. */
function interleaved(laneBytes: number, first: number): number[] {
  return Array.from({ length: 16 }, (_, i) => {
    const lane = Math.floor(i / laneBytes);
    return (lane % 2) * 16 + ((first + Math.floor(lane / 2) * laneBytes + (i % laneBytes)) % 16);
  });
}

function unpack(mnemonic: string, laneBytes: number, upper: boolean, hot: Hot = 'none'): Description[] {
  const from = (first: number) => (_o: Operation, a: Value, b: Value) => a.shuffle(b, interleaved(laneBytes, first));
  const xmm = packed(mnemonic, from(upper ? 8 : 0), hot);
  if (laneBytes === 8) return xmm;
  return [...xmm, ...packedMmx(mnemonic, from(upper ? 4 : 0), upper ? ['k64k64', 'k64m64'] : ['k64k64', 'k64m32'])];
}

function pack(mnemonic: string, name: SimdName): Description[] {
  return bothJoined(mnemonic, (_o, a, b) => a.simd(name, b));
}

/** Every other lane of two vectors, the lower of each pair or the upper. */
function everyOther(a: Value, b: Value, laneBytes: number, odd: boolean): Value {
  const start = odd ? laneBytes : 0;
  return a.shuffle(
    b,
    Array.from({ length: 16 }, (_, i) => start + Math.floor(i / laneBytes) * laneBytes * 2 + (i % laneBytes)),
  );
}

function neighbours(mnemonic: string, name: SimdName, laneBytes: number): Description[] {
  return bothJoined(mnemonic, (_o, a, b) =>
    everyOther(a, b, laneBytes, false).simd(name, everyOther(a, b, laneBytes, true)),
  );
}

// --- lanes chosen at run time --------------------------------------------------------------------------------------

/** Byte indices from the four 2-bit fields of an immediate, one for each dword. */
function dwordIndices(o: Operation, immediate: Value): Value {
  const fields = immediate
    .as('i32')
    .simd('i32x4_splat')
    .simd('i32x4_mul', constant(o, 4, [64, 16, 4, 1]))
    .simd('i32x4_shr_u', o.constant('i32', 6));
  const lanes = fields.simd('v128_and', constant(o, 4, [3]));
  return lanes.simd('i32x4_mul', constant(o, 4, [0x04040404])).simd('i32x4_add', constant(o, 4, [0x03020100]));
}

/** The same for the words of one half; the words of the other half stay where they are. */
function wordIndices(o: Operation, immediate: Value, upper: boolean): Value {
  const here = (inside: readonly number[]): number[] => (upper ? [0, 0, 0, 0, ...inside] : [...inside, 0, 0, 0, 0]);
  const fields = immediate
    .as('i32')
    .simd('i16x8_splat')
    .simd('i16x8_mul', constant(o, 2, here([64, 16, 4, 1])))
    .simd('i16x8_shr_u', o.constant('i32', 6));
  const lanes = fields.simd('v128_and', constant(o, 2, [3]));
  const base = iota().map((i) => (i >= 8 === upper ? (upper ? 8 : 0) + (i % 2) : i));
  return lanes.simd('i16x8_mul', constant(o, 2, [0x0202])).simd('i8x16_add', constant(o, 1, base));
}

/** A shuffle of the source under an immediate. */
function shuffleImmediate(
  mnemonic: string,
  indices: (o: Operation, immediate: Value) => Value,
  hot: Hot = 'none',
): Description[] {
  return forms(
    mnemonic,
    ['x128x128i8', 'x128m128i8'],
    (o) => o.write(0, source(o, 1).simd('i8x16_swizzle', indices(o, o.read(2)))),
    hot,
  );
}

/** Destination, source and immediate, all three read. */
export function withImmediate(
  mnemonic: string,
  compute: (o: Operation, a: Value, b: Value, immediate: Value) => Value,
  hot: Hot = 'none',
): Description[] {
  return forms(
    mnemonic,
    ['x128x128i8', 'x128m128i8'],
    (o) => {
      const b = source(o, 1);
      o.write(0, compute(o, o.read(0), b, o.read(2).as('i32')));
    },
    hot,
  );
}

/** The destination above the source, shifted right by bytes. */
function alignRight(o: Operation, a: Value, b: Value, immediate: Value): Value {
  const count = byteCount(o, immediate, 32);
  const below = b.simd('i8x16_swizzle', constant(o, 1, iota()).simd('i8x16_add', count));
  return below.simd('v128_or', a.simd('i8x16_swizzle', constant(o, 1, iota(-16)).simd('i8x16_add', count)));
}

/** The index's bits that count, and bit 7, which asks for a zero. */
function shuffleBytes(mask: number) {
  return (o: Operation, a: Value, b: Value): Value =>
    a.simd('i8x16_swizzle', b.simd('v128_and', constant(o, 1, [mask])));
}

function mmxWithImmediate(
  mnemonic: string,
  compute: (o: Operation, a: Value, b: Value, immediate: Value) => Value,
): Description[] {
  return forms(mnemonic, ['k64k64i8', 'k64m64i8'], (o) =>
    mmxInstruction(o, () => {
      const b = mmxVector(o, 1);
      const result = low(compute(o, mmxVector(o, 0), b, o.read(2).as('i32')));
      return () => writeMmx(o, 0, result);
    }),
  );
}

// prettier-ignore
export const VECTOR_SHUFFLES: readonly Description[] = [
  ...unpack('PUNPCKLBW',  1, false, 'registers'),
  ...unpack('PUNPCKLWD',  2, false, 'registers'),
  ...unpack('PUNPCKLDQ',  4, false, 'registers'),
  ...unpack('PUNPCKLQDQ', 8, false, 'registers'),
  ...unpack('PUNPCKHBW',  1, true),
  ...unpack('PUNPCKHWD',  2, true),
  ...unpack('PUNPCKHDQ',  4, true),
  ...unpack('PUNPCKHQDQ', 8, true, 'registers'),
  ...pack('PACKSSWB', 'i8x16_narrow_i16x8_s'),
  ...pack('PACKUSWB', 'i8x16_narrow_i16x8_u'),
  ...pack('PACKSSDW', 'i16x8_narrow_i32x4_s'),
  ...packed('PACKUSDW', (_o, a, b) => a.simd('i16x8_narrow_i32x4_u', b)),

  ...neighbours('PHADDW',  'i16x8_add', 2),
  ...neighbours('PHADDD',  'i32x4_add', 4),
  ...neighbours('PHADDSW', 'i16x8_add_sat_s', 2),
  ...neighbours('PHSUBW',  'i16x8_sub', 2),
  ...neighbours('PHSUBD',  'i32x4_sub', 4),
  ...neighbours('PHSUBSW', 'i16x8_sub_sat_s', 2),

  ...shuffleImmediate('PSHUFD',  dwordIndices, 'registers'),
  ...shuffleImmediate('PSHUFLW', (o, immediate) => wordIndices(o, immediate, false)),
  ...shuffleImmediate('PSHUFHW', (o, immediate) => wordIndices(o, immediate, true)),
  ...mmxWithImmediate('PSHUFW',  (o, _a, b, immediate) => b.simd('i8x16_swizzle', wordIndices(o, immediate, false))),
  ...packed('PSHUFB', shuffleBytes(0x8f), 'registers'),
  ...packedMmx('PSHUFB', shuffleBytes(0x87)),
  ...withImmediate('PALIGNR', alignRight, 'registers'),
  ...mmxWithImmediate('PALIGNR', (o, a, b, immediate) => join(b, a).simd('i8x16_swizzle', constant(o, 1, iota()).simd('i8x16_add', byteCount(o, immediate, 16)))),
  ...withImmediate('SHUFPS', (o, a, b, immediate) => {
    const indices = dwordIndices(o, immediate);
    return a.simd('i8x16_swizzle', indices).shuffle(b.simd('i8x16_swizzle', indices), [...iota().slice(0, 8), ...iota(16).slice(8)]);
  }),
  ...withImmediate('SHUFPD', (_o, a, b, immediate) => {
    const first = immediate.bit(0).select(high(a), low(a));
    return first.simd('i64x2_splat').lane('i64x2_replace_lane', 1, immediate.bit(1).select(high(b), low(b)));
  }),
];
