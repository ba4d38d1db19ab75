// SPDX-License-Identifier: Apache-2.0
import {
  constant,
  forms,
  high,
  low,
  mmxInstruction,
  mmxVector,
  packed,
  source,
  writeInteger,
  writeMmx,
  zeroExtended,
  zeroVector,
} from './vector.ts';
import type { Hot } from './vector.ts';
import { withImmediate } from './vector-shuffle.ts';
import type { SimdName } from '../../wasm/opcodes.ts';
import type { Description, Operation, Value } from './operation.ts';

/** Single lanes: inserted, extracted, blended, widened, and summed up in masks and flags. */

// --- one lane --------------------------------------------------------------------------------------------------

/** How a lane of some size is chosen by its number. */
interface Lane {
  readonly splat: SimdName;
  readonly equal: SimdName;
  readonly lanes: number;
  /** Each lane's own number. */
  readonly numbers: (o: Operation) => Value;
}

// prettier-ignore
const LANE = {
  8:  { splat: 'i8x16_splat', equal: 'i8x16_eq', lanes: 16, numbers: (o) => constant(o, 1, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]) },
  16: { splat: 'i16x8_splat', equal: 'i16x8_eq', lanes: 8,  numbers: (o) => constant(o, 2, [0, 1, 2, 3, 4, 5, 6, 7]) },
  32: { splat: 'i32x4_splat', equal: 'i32x4_eq', lanes: 4,  numbers: (o) => constant(o, 4, [0, 1, 2, 3]) },
  64: { splat: 'i64x2_splat', equal: 'i64x2_eq', lanes: 2,  numbers: (o) => constant(o, 4, [0, 0, 1, 0]) },
} as const satisfies Record<number, Lane>;
type LaneBits = keyof typeof LANE;

/** Ones in the lane whose number is an i32. */
function laneMask(o: Operation, bits: LaneBits, number: Value): Value {
  const { splat, equal, numbers } = LANE[bits];
  return numbers(o).simd(equal, (bits === 64 ? number.as('i64') : number).simd(splat));
}

function inserted(o: Operation, bits: LaneBits, vector: Value, value: Value, number: Value): Value {
  const lane = bits === 64 ? value : value.as('i32');
  return lane.simd(LANE[bits].splat).simd('v128_bitselect', vector, laneMask(o, bits, number));
}

/** The lane with a run-time number: i64 for 64 bits, else i32. */
function extracted(bits: LaneBits, vector: Value, number: Value): Value {
  if (bits === 64) return number.bit(0).select(high(vector), low(vector));
  const bytes = bits / 8;
  const step = [0, 0x01, 0x0202, 0, 0x04040404][bytes];
  const first = [0, 0x00, 0x0100, 0, 0x03020100][bytes];
  const indices = number.mul(step).add(first).simd(LANE[bits].splat);
  const name = ({ 8: 'i8x16_extract_lane_u', 16: 'i16x8_extract_lane_u', 32: 'i32x4_extract_lane' } as const)[bits];
  return vector.simd('i8x16_swizzle', indices).lane(name, 0);
}

function insert(mnemonic: string, signatures: readonly string[], bits: LaneBits): Description[] {
  return forms(mnemonic, signatures, (o) => {
    const value = o.read(1);
    o.write(
      0,
      inserted(
        o,
        bits,
        o.read(0),
        value,
        o
          .read(2)
          .as('i32')
          .and(LANE[bits].lanes - 1),
      ),
    );
  });
}

function extract(mnemonic: string, signatures: readonly string[], bits: LaneBits): Description[] {
  return forms(mnemonic, signatures, (o) => {
    o.prepareWrite(0);
    writeInteger(
      o,
      0,
      extracted(
        bits,
        o.read(1),
        o
          .read(2)
          .as('i32')
          .and(LANE[bits].lanes - 1),
      ),
    );
  });
}

const MMX_WORD_INSERT = forms('PINSRW', ['k64r32i8', 'k64r64i8', 'k64m16i8'], (o) =>
  mmxInstruction(o, () => {
    const value = o.read(1);
    const result = low(inserted(o, 16, mmxVector(o, 0), value, o.read(2).as('i32').and(3)));
    return () => writeMmx(o, 0, result);
  }),
);
const MMX_WORD_EXTRACT = forms('PEXTRW', ['r32k64i8', 'r64k64i8'], (o) =>
  mmxInstruction(o, () => {
    const result = extracted(16, mmxVector(o, 1), o.read(2).as('i32').and(3));
    return () => writeInteger(o, 0, result);
  }),
);

/** Bits 7:6 choose the source's lane (memory has one), 5:4 the destination's, 3:0 the lanes to be zero. */
function insertSingle(o: Operation): void {
  const fromMemory = o.operands[1].kind === 'm';
  const given = o.read(1);
  const immediate = o.read(2).as('i32');
  const value = fromMemory ? given : extracted(32, given, immediate.shr(6));
  const result = inserted(o, 32, o.read(0), value, immediate.shr(4).and(3));
  o.write(0, result.simd('v128_andnot', maskOfBits(o, 32, immediate)));
}

// --- blends ----------------------------------------------------------------------------------------------------

/** Ones in each lane whose bit in an i32 is set. */
function maskOfBits(o: Operation, bits: 16 | 32 | 64, immediate: Value): Value {
  const weights = {
    16: constant(o, 2, [1, 2, 4, 8, 16, 32, 64, 128]),
    32: constant(o, 4, [1, 2, 4, 8]),
    64: constant(o, 4, [1, 0, 2, 0]),
  }[bits];
  const { splat, equal } = LANE[bits];
  const repeated = (bits === 64 ? immediate.as('i64') : immediate).simd(splat);
  return repeated.simd('v128_and', weights).simd(equal, weights);
}

function blend(mnemonic: string, bits: 16 | 32 | 64): Description[] {
  return withImmediate(mnemonic, (o, a, b, immediate) => b.simd('v128_bitselect', a, maskOfBits(o, bits, immediate)));
}

/** The third operand, XMM0, decides by the sign of each lane. */
function blendVariable(mnemonic: string, name: SimdName, bits: number): Description[] {
  return forms(mnemonic, ['x128x128x128', 'x128m128x128'], (o) => {
    const b = source(o, 1);
    o.write(0, b.simd('v128_bitselect', o.read(0), o.read(2).simd(name, o.constant('i32', bits - 1))));
  });
}

// --- widening --------------------------------------------------------------------------------------------------

const WIDENING = ['i16x8_extend_low_i8x16', 'i32x4_extend_low_i16x8', 'i64x2_extend_low_i32x4'] as const;

/** The low lanes, widened `steps` times from the size that `first` names. */
function widen(suffix: string, first: 0 | 1 | 2, steps: number): Description[] {
  return (['s', 'u'] as const).flatMap((sign) =>
    forms(`PMOV${sign === 's' ? 'S' : 'Z'}X${suffix}`, ['x128x128', `x128m${128 >> steps}`], (o) => {
      const given = o.read(1);
      const vector = given.type === 'v128' ? given : zeroExtended(o, given);
      o.write(
        0,
        WIDENING.slice(first, first + steps).reduce((value, name) => value.simd(`${name}_${sign}`), vector),
      );
    }),
  );
}

// --- masks, flags and sums -------------------------------------------------------------------------------------

function signMask(mnemonic: string, name: SimdName, hot: Hot = 'none'): Description[] {
  return forms(mnemonic, ['r32x128', 'r64x128'], (o) => writeInteger(o, 0, o.read(1).simd(name)), hot);
}

/** ZF: nothing in common; CF: the source has no bit beside the destination's. */
function test(o: Operation): void {
  const b = source(o, 1);
  const a = o.read(0);
  const zero = a.simd('v128_and', b).simd('v128_any_true').not();
  const carry = b.simd('v128_andnot', a).simd('v128_any_true').not();
  o.setEflags(zero.as('i32').shl(6).or(carry.as('i32')));
}

/** The least of eight words and its number, zeros above. */
function leastWord(o: Operation, _a: Value, b: Value): Value {
  const turned = (value: Value, bytes: number): Value =>
    value.shuffle(
      value,
      Array.from({ length: 16 }, (_, i) => (i + bytes) % 16),
    );
  const least = [8, 4, 2].reduce((value, bytes) => value.simd('i16x8_min_u', turned(value, bytes)), b);
  const position = b.simd('i16x8_eq', least).simd('i16x8_bitmask').ctz();
  return zeroExtended(o, least.lane('i16x8_extract_lane_u', 0).or(position.shl(16)));
}

/** Eight sums of four absolute differences: bytes of the destination against one block of four of the source. */
function sumsOfDifferences(o: Operation, a: Value, b: Value, immediate: Value): Value {
  const fromA = immediate.and(4);
  const fromB = immediate.and(3).shl(2);
  let sum = zeroVector(o);
  for (let i = 0; i < 4; i++) {
    const x = a.simd(
      'i8x16_swizzle',
      constant(o, 1, [0, 1, 2, 3, 4, 5, 6, 7]).simd('i8x16_add', fromA.add(i).simd('i8x16_splat')),
    );
    const y = b.simd('i8x16_swizzle', fromB.add(i).simd('i8x16_splat'));
    const difference = x.simd('i8x16_sub_sat_u', y).simd('v128_or', y.simd('i8x16_sub_sat_u', x));
    sum = sum.simd('i16x8_add', difference.simd('i16x8_extend_low_i8x16_u'));
  }
  return sum;
}

// prettier-ignore
export const VECTOR_LANES: readonly Description[] = [
  ...insert('PINSRB', ['x128r32i8', 'x128r64i8', 'x128m8i8'], 8),
  ...insert('PINSRW', ['x128r32i8', 'x128r64i8', 'x128m16i8'], 16),
  ...insert('PINSRD', ['x128r32i8', 'x128m32i8'], 32),
  ...insert('PINSRD', ['x128r64i8', 'x128m64i8'], 64),
  ...extract('PEXTRB', ['r32x128i8', 'r64x128i8', 'm8x128i8'], 8),
  ...extract('PEXTRW', ['r32x128i8', 'r64x128i8', 'm16x128i8'], 16),
  ...extract('PEXTRD', ['r32x128i8', 'm32x128i8'], 32),
  ...extract('PEXTRD', ['r64x128i8', 'm64x128i8'], 64),
  ...extract('EXTRACTPS', ['r32x128i8', 'r64x128i8', 'm32x128i8'], 32),
  ...MMX_WORD_INSERT,
  ...MMX_WORD_EXTRACT,
  ...forms('INSERTPS', ['x128x128i8', 'x128m32i8'], insertSingle),
  ...blend('PBLENDW', 16),
  ...blend('BLENDPS', 32),
  ...blend('BLENDPD', 64),
  ...blendVariable('PBLENDVB', 'i8x16_shr_s', 8),
  ...blendVariable('BLENDVPS', 'i32x4_shr_s', 32),
  ...blendVariable('BLENDVPD', 'i64x2_shr_s', 64),
  ...widen('BW', 0, 1), ...widen('BD', 0, 2), ...widen('BQ', 0, 3),
  ...widen('WD', 1, 1), ...widen('WQ', 1, 2), ...widen('DQ', 2, 1),
  ...signMask('PMOVMSKB', 'i8x16_bitmask', 'all'),
  ...signMask('MOVMSKPS', 'i32x4_bitmask'),
  ...signMask('MOVMSKPD', 'i64x2_bitmask'),
  ...forms('PMOVMSKB', ['r32k64', 'r64k64'], (o) => mmxInstruction(o, () => {
    const mask = mmxVector(o, 1).simd('i8x16_bitmask').and(0xff);
    return () => writeInteger(o, 0, mask);
  })),
  ...forms('PTEST', ['x128x128', 'x128m128'], test),
  ...packed('PHMINPOSUW', leastWord),
  ...withImmediate('MPSADBW', sumsOfDifferences),
];
