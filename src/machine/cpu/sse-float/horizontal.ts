// SPDX-License-Identifier: Apache-2.0
import { add, multiply, subtract } from '../softfloat/arithmetic.ts';
import type { Binary } from '../softfloat/arithmetic.ts';
import { PACKED_SHAPES } from './unit.ts';
import type { SseFloatInstruction, SseFloatUnit, Shape } from './unit.ts';

/** Even elements are subtracted, odd ones added. See: SDM ADDSUBPS—Packed Single Precision Floating-Point Add/Subtract. */
function addSubtract({ suffix, format, lanes }: Shape): SseFloatInstruction {
  return {
    mnemonic: `ADDSUB${suffix}`,
    sourceBytes: 16,
    destination: 'xmm',
    run(unit, destination, source) {
      for (let lane = 0; lane < lanes; lane++) {
        const operation = lane % 2 === 0 ? subtract : add;
        const a = unit.element(destination, lane, format);
        unit.put(lane, format, operation(unit.env, format, a, unit.element(source, lane, format)));
      }
    },
  };
}

/** Neighbours within the destination make the low half, those within the source the high half. See: SDM HADDPS—Packed Single Precision Floating-Point Horizontal Add. */
function horizontal(name: string, operation: Binary, { suffix, format, lanes }: Shape): SseFloatInstruction {
  return {
    mnemonic: name + suffix,
    sourceBytes: 16,
    destination: 'xmm',
    run(unit, destination, source) {
      for (let lane = 0; lane < lanes; lane++) {
        const offset = lane < lanes / 2 ? destination : source;
        const pair = (lane * 2) % lanes;
        const a = unit.element(offset, pair, format);
        unit.put(lane, format, operation(unit.env, format, a, unit.element(offset, pair + 1, format)));
      }
    },
  };
}

/** Products of the elements that immediate bits 4 up select; zero for the others. */
function products(unit: SseFloatUnit, shape: Shape, destination: number, source: number, immediate: number): bigint[] {
  const { format, lanes } = shape;
  return Array.from({ length: lanes }, (_, lane) => {
    if ((immediate & (16 << lane)) === 0) return 0n;
    return multiply(unit.env, format, unit.element(destination, lane, format), unit.element(source, lane, format));
  });
}

/** Adds neighbours until one value is left: (0 + 1) + (2 + 3). */
function sumPairs(unit: SseFloatUnit, { format }: Shape, values: bigint[]): bigint {
  let level = values;
  while (level.length > 1 && unit.endStep()) {
    const next: bigint[] = [];
    for (let n = 0; n < level.length; n += 2)
      next.push(add(unit.env, format, unit.unpack(level[n], format), unit.unpack(level[n + 1], format)));
    level = next;
  }
  return level[0];
}

/** See: SDM DPPS—Dot Product of Packed Single Precision Floating-Point Values. An unmasked exception ends it after the step that raised it. */
function dotProduct(shape: Shape): SseFloatInstruction {
  const { suffix, format, lanes } = shape;
  return {
    mnemonic: `DP${suffix}`,
    sourceBytes: 16,
    destination: 'xmm',
    run(unit, destination, source, immediate) {
      const sum = sumPairs(unit, shape, products(unit, shape, destination, source, immediate));
      for (let lane = 0; lane < lanes; lane++) unit.put(lane, format, (immediate & (1 << lane)) === 0 ? 0n : sum);
    },
  };
}

export const HORIZONTAL: readonly SseFloatInstruction[] = [
  ...PACKED_SHAPES.map(addSubtract),
  ...PACKED_SHAPES.map((shape) => horizontal('HADD', add, shape)),
  ...PACKED_SHAPES.map((shape) => horizontal('HSUB', subtract, shape)),
  ...PACKED_SHAPES.map(dotProduct),
];
