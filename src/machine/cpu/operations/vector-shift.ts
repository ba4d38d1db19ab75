// SPDX-License-Identifier: Apache-2.0
import { constant, forms, iota, low, mmxInstruction, mmxVector, source, writeMmx, zeroVector } from './vector.ts';
import type { Hot } from './vector.ts';
import type { SimdName } from '../../wasm/opcodes.ts';
import type { Description, Operation, Value } from './operation.ts';

/** Shifts of lanes, by an immediate or by the low 64 bits of the source, and of whole registers by bytes. */

/** WebAssembly takes the count modulo the lane's width; here a larger one gives zero, or only copies of the sign. */
function shifted(o: Operation, name: SimdName, bits: number, a: Value, count: Value): Value {
  const fits = count.ltu(bits);
  if (name.endsWith('_s')) return a.simd(name, fits.select(count, o.constant(count.type, bits - 1)).as('i32'));
  return fits.select(a.simd(name, count.as('i32')), zeroVector(o));
}

function shift(mnemonic: string, name: SimdName, bits: number, immediate: Hot): Description[] {
  const inXmm = (o: Operation): void => {
    const count = o.operands[1].kind === 'i' ? o.read(1).as('i32') : low(source(o, 1));
    o.write(0, shifted(o, name, bits, o.read(0), count));
  };
  const inMmx = (o: Operation): void =>
    mmxInstruction(o, () => {
      const count = o.read(1).as('i64');
      const result = low(shifted(o, name, bits, mmxVector(o, 0), count));
      return () => writeMmx(o, 0, result);
    });
  return [
    ...forms(mnemonic, ['x128i8'], inXmm, immediate),
    ...forms(mnemonic, ['x128x128', 'x128m128'], inXmm),
    ...forms(mnemonic, ['k64i8', 'k64k64', 'k64m64'], inMmx),
  ];
}

/** `count`, an i32, in every byte, but no more than `most`. */
export function byteCount(o: Operation, count: Value, most: number): Value {
  return count.ltu(most).select(count, o.constant('i32', most)).simd('i8x16_splat');
}

/** Bytes come from `count` places up (or down); a swizzle gives zero for an index beyond 15. */
function shiftBytes(mnemonic: string, name: 'i8x16_add' | 'i8x16_sub'): Description[] {
  return forms(
    mnemonic,
    ['x128i8'],
    (o) => {
      const count = byteCount(o, o.read(1).as('i32'), 16);
      o.write(0, o.read(0).simd('i8x16_swizzle', constant(o, 1, iota()).simd(name, count)));
    },
    'all',
  );
}

// prettier-ignore
export const VECTOR_SHIFTS: readonly Description[] = [
  ...shift('PSRLW', 'i16x8_shr_u', 16, 'none'),
  ...shift('PSRLD', 'i32x4_shr_u', 32, 'all'),
  ...shift('PSRLQ', 'i64x2_shr_u', 64, 'all'),
  ...shift('PSRAW', 'i16x8_shr_s', 16, 'none'),
  ...shift('PSRAD', 'i32x4_shr_s', 32, 'none'),
  ...shift('PSLLW', 'i16x8_shl',   16, 'none'),
  ...shift('PSLLD', 'i32x4_shl',   32, 'all'),
  ...shift('PSLLQ', 'i64x2_shl',   64, 'all'),
  ...shiftBytes('PSRLDQ', 'i8x16_add'),
  ...shiftBytes('PSLLDQ', 'i8x16_sub'),
];
