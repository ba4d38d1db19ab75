// SPDX-License-Identifier: Apache-2.0
import { ORDER, compare } from '../softfloat/compare.ts';
import { BINARY32, KIND, packSpecial } from '../softfloat/format.ts';
import type { Format } from '../softfloat/format.ts';
import { NORMAL32, NORMAL64, SHAPES, isPlain } from './unit.ts';
import type { SseFloatInstruction, SseFloatUnit, Shape } from './unit.ts';

/**
 * The four relations and their negations (immediate bit 2); `signaling` ones raise invalid for quiet NaNs too.
 * See: SDM Table 3-1 Comparison Predicate for CMPPD and CMPPS Instructions.
 */
// prettier-ignore
const RELATIONS = [
  { signaling: false, holds: (order: number) => order === ORDER.equal },
  { signaling: true,  holds: (order: number) => order === ORDER.less },
  { signaling: true,  holds: (order: number) => order === ORDER.less || order === ORDER.equal },
  { signaling: false, holds: (order: number) => order === ORDER.unordered },
];

function holds(order: number, immediate: number): boolean {
  return RELATIONS[immediate & 3].holds(order) !== ((immediate & 4) !== 0);
}

/** The order of two elements if neither is a NaN or denormal, else undefined: then flags or DAZ matter. */
function plainOrder(
  unit: SseFloatUnit,
  format: Format,
  destination: number,
  source: number,
  lane: number,
): number | undefined {
  const single = format === BINARY32;
  const a = single ? unit.f32[(destination >> 2) + lane] : unit.f64[(destination >> 3) + lane];
  const b = single ? unit.f32[(source >> 2) + lane] : unit.f64[(source >> 3) + lane];
  const range = single ? NORMAL32 : NORMAL64;
  if (!isPlain(a, range) || !isPlain(b, range)) return undefined;
  return a < b ? ORDER.less : a > b ? ORDER.greater : ORDER.equal;
}

/** Leaves the orders of all elements here if they are plain: nothing may be written before that is known. */
const orders = new Int8Array(4);

function plainOrders(unit: SseFloatUnit, format: Format, destination: number, source: number, lanes: number): boolean {
  for (let lane = 0; lane < lanes; lane++) {
    const order = plainOrder(unit, format, destination, source, lane);
    if (order === undefined) return false;
    orders[lane] = order;
  }
  return true;
}

function comparison({ suffix, format, lanes, bytes }: Shape): SseFloatInstruction {
  return {
    mnemonic: `CMP${suffix}`,
    sourceBytes: bytes,
    destination: 'xmm',
    run(unit, destination, source, immediate) {
      const { signaling } = RELATIONS[immediate & 3];
      for (let lane = 0; lane < lanes; lane++) {
        const a = unit.element(destination, lane, format);
        const order = compare(unit.env, a, unit.element(source, lane, format), signaling);
        unit.put(lane, format, holds(order, immediate) ? (1n << BigInt(format.bytes * 8)) - 1n : 0n);
      }
    },
    fast(unit, destination, source, immediate) {
      if (!plainOrders(unit, format, destination, source, lanes)) return false;
      const words = format.bytes / 4;
      for (let n = 0; n < lanes * words; n++)
        unit.i32[(destination >> 2) + n] = holds(orders[(n / words) | 0], immediate) ? -1 : 0;
      return true;
    },
  };
}

/** COMISS and its kin: ZF, PF and CF all set when unordered. See: SDM COMISD—Compare Scalar Ordered Double Precision Floating-Point Values and Set EFLAGS. */
// prettier-ignore
const EFLAGS: Readonly<Record<number, number>> = {
  [ORDER.unordered]: 0x45,
  [ORDER.greater]:   0x00,
  [ORDER.less]:      0x01,
  [ORDER.equal]:     0x40,
};

function orderToFlags(mnemonic: string, signaling: boolean, { suffix, format, bytes }: Shape): SseFloatInstruction {
  return {
    mnemonic: mnemonic + suffix,
    sourceBytes: bytes,
    destination: 'flags',
    run(unit, destination, source) {
      const a = unit.element(destination, 0, format);
      unit.eflags = EFLAGS[compare(unit.env, a, unit.element(source, 0, format), signaling)];
    },
    fast(unit, destination, source) {
      const order = plainOrder(unit, format, destination, source, 0);
      if (order === undefined) return false;
      unit.eflags = EFLAGS[order];
      return true;
    },
  };
}

/**
 * The second operand wins whenever the order is not strict: two zeroes, or a NaN, which is returned unchanged after invalid.
 * See: SDM MINPS—Minimum of Packed Single Precision Floating-Point Values.
 */
function extremum(mnemonic: string, wanted: number, { suffix, format, lanes, bytes }: Shape): SseFloatInstruction {
  return {
    mnemonic: mnemonic + suffix,
    sourceBytes: bytes,
    destination: 'xmm',
    run(unit, destination, source) {
      for (let lane = 0; lane < lanes; lane++) {
        const a = unit.element(destination, lane, format);
        const b = unit.element(source, lane, format);
        const first = compare(unit.env, a, b, true) === wanted;
        const chosen = first ? a : b;
        // A denormal that DAZ made a zero is returned as that zero.
        const bits =
          chosen.kind === KIND.zero
            ? packSpecial(format, chosen)
            : unit.bits(first ? destination : source, lane, format);
        unit.put(lane, format, bits);
      }
    },
    fast(unit, destination, source) {
      if (!plainOrders(unit, format, destination, source, lanes)) return false;
      const words = format.bytes / 4;
      for (let n = 0; n < lanes * words; n++)
        if (orders[(n / words) | 0] !== wanted) unit.i32[(destination >> 2) + n] = unit.i32[(source >> 2) + n];
      return true;
    },
  };
}

const SCALAR = SHAPES.slice(2);

export const COMPARISONS: readonly SseFloatInstruction[] = [
  ...SHAPES.map(comparison),
  ...SCALAR.map((shape) => orderToFlags('COMI', true, shape)),
  ...SCALAR.map((shape) => orderToFlags('UCOMI', false, shape)),
  ...SHAPES.map((shape) => extremum('MIN', ORDER.less, shape)),
  ...SHAPES.map((shape) => extremum('MAX', ORDER.greater, shape)),
];
