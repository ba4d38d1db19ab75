// SPDX-License-Identifier: Apache-2.0
import {
  checkMmx,
  finishMmx,
  forms,
  low,
  mmxInstruction,
  packed,
  source,
  writeAligned,
  writeInteger,
  writeMmx,
  zeroExtended,
} from './vector.ts';
import type { Hot } from './vector.ts';
import type { Description, Operation, Value } from './operation.ts';

/** Moves to, from and between XMM and MMX registers. The names of equal moves are folded in translation/signature.ts. */

/** A scalar: between registers the rest of the destination stays, from memory it becomes zero. */
function scalar(mnemonic: string, bits: 32 | 64): Description[] {
  const type = bits === 32 ? 'i32' : 'i64';
  const shape = bits === 32 ? 'i32x4' : 'i64x2';
  const lane = (value: Value): Value => value.lane(`${shape}_extract_lane`, 0);
  const merge = (o: Operation): void => {
    const value = lane(o.read(1));
    o.write(0, o.read(0).lane(`${shape}_replace_lane`, 0, value));
  };
  return [
    ...forms(mnemonic, ['x128x128'], merge, 'all'),
    ...forms(mnemonic, [`x128m${bits}`], (o) => o.write(0, zeroExtended(o, o.read(1))), 'all'),
    ...forms(
      mnemonic,
      [`m${bits}x128`],
      (o) => {
        o.prepareWrite(0);
        o.write(0, o.readPlace({ slot: 1 }, type));
      },
      'all',
    ),
  ];
}

/** One half of a register, to and from memory. */
function half(mnemonic: string, lane: 0 | 1): Description[] {
  const load = (o: Operation): void => {
    const value = o.read(1);
    o.write(0, o.read(0).lane('i64x2_replace_lane', lane, value));
  };
  const store = (o: Operation): void => {
    o.prepareWrite(0);
    o.write(0, o.readPlace({ slot: 1, add: lane * 8 }, 'i64'));
  };
  return [...forms(mnemonic, ['x128m64'], load, 'all'), ...forms(mnemonic, ['m64x128'], store, 'all')];
}

/** Bytes rearranged out of the source alone. */
function rearranged(mnemonic: string, bytes: readonly number[]): Description[] {
  return packed(mnemonic, (_o, _a, b) => b.shuffle(b, bytes));
}

/** Integers of 32 and 64 bits into an XMM register, zero-extended, and out of it. */
function integers(mnemonic: string, sizes: readonly number[], memoryHot: Hot): Description[] {
  const load = (o: Operation): void => o.write(0, zeroExtended(o, o.read(1)));
  const store = (o: Operation): void => {
    o.prepareWrite(0);
    o.write(0, o.readPlace({ slot: 1 }, o.operands[0].bits === 64 ? 'i64' : 'i32'));
  };
  return sizes.flatMap((bits) => [
    ...forms(mnemonic, [`x128r${bits}`], load, 'all'),
    ...forms(mnemonic, [`x128m${bits}`], load, memoryHot),
    ...forms(mnemonic, [`r${bits}x128`], store, 'all'),
    ...forms(mnemonic, [`m${bits}x128`], store, memoryHot),
  ]);
}

function toMmx(o: Operation): void {
  mmxInstruction(o, () => {
    const value = o.operands[1].kind === 'x' ? low(o.read(1)) : o.read(1).as('i64');
    return () => writeMmx(o, 0, value);
  });
}
function fromMmx(o: Operation): void {
  mmxInstruction(o, () => {
    o.prepareWrite(0);
    const value = o.readPlace({ slot: 1 }, 'i64');
    return () => (o.operands[0].kind === 'x' ? o.write(0, zeroExtended(o, value)) : writeInteger(o, 0, value));
  });
}

const lanes32 = (...lanes: number[]): number[] => lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => lane * 4 + byte));

export const VECTOR_MOVES: readonly Description[] = [
  ...forms(
    'MOVAPS',
    ['x128x128', 'x128m128', 'm128x128'],
    (o) => {
      if (o.operands[1].kind === 'm') o.write(0, source(o, 1));
      else writeAligned(o, 0, () => o.read(1));
    },
    'all',
  ),
  ...forms(
    'MOVUPS',
    ['x128x128', 'x128m128', 'm128x128'],
    (o) => {
      o.prepareWrite(0);
      o.write(0, o.read(1));
    },
    'all',
  ),
  ...scalar('MOVSS', 32),
  ...scalar('MOVSD', 64),
  ...half('MOVLPS', 0),
  ...half('MOVHPS', 1),
  ...packed('MOVHLPS', (_o, a, b) => b.shuffle(a, [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31])),
  ...rearranged('MOVSLDUP', lanes32(0, 0, 2, 2)),
  ...rearranged('MOVSHDUP', lanes32(1, 1, 3, 3)),
  ...forms('MOVDDUP', ['x128x128', 'x128m64'], (o) => {
    const value = o.operands[1].kind === 'm' ? o.read(1) : low(o.read(1));
    o.write(0, value.simd('i64x2_splat'));
  }),
  ...integers('MOVD', [32, 64], 'none'),
  ...forms(
    'MOVQ',
    ['x128x128', 'x128m64'],
    (o) => o.write(0, zeroExtended(o, o.operands[1].kind === 'm' ? o.read(1) : o.readPlace({ slot: 1 }, 'i64'))),
    'all',
  ),
  ...forms(
    'MOVQ',
    ['m64x128'],
    (o) => {
      o.prepareWrite(0);
      o.write(0, o.readPlace({ slot: 1 }, 'i64'));
    },
    'all',
  ),
  ...forms('MOVD', ['k64r32', 'k64r64', 'k64m32', 'k64m64'], toMmx),
  ...forms('MOVD', ['r32k64', 'r64k64', 'm32k64', 'm64k64'], fromMmx),
  ...forms('MOVQ', ['k64k64', 'k64m64'], toMmx),
  ...forms('MOVQ', ['m64k64'], fromMmx),
  ...forms('MOVDQ2Q', ['k64x128'], toMmx),
  ...forms('MOVQ2DQ', ['x128k64'], fromMmx),
  ...forms('EMMS', [''], (o) => {
    checkMmx(o);
    finishMmx(o, 0);
  }),
];
