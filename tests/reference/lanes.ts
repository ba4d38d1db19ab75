// SPDX-License-Identifier: Apache-2.0

import { InternalError } from '../../src/base/assert.ts';
import * as float from './float.ts';
import type { Format } from './float.ts';

/** WebAssembly's vector operations on BigInts of 128 bits, as the specification words them: lanes out, lanes in. */

type Lanes = bigint[];
const FORMATS: Readonly<Record<string, Format>> = { f32x4: float.F32, f64x2: float.F64 };

function widthOf(shape: string): number {
  return Number(/^[if](\d+)x/.exec(shape)?.[1]);
}
function split(vector: bigint, bits: number): Lanes {
  return Array.from({ length: 128 / bits }, (_, n) => BigInt.asUintN(bits, vector >> BigInt(n * bits)));
}
function splitSigned(vector: bigint, bits: number): Lanes {
  return split(vector, bits).map((lane) => BigInt.asIntN(bits, lane));
}
function join(lanes: Lanes, bits: number): bigint {
  return lanes.reduce((vector, lane, n) => vector | (BigInt.asUintN(bits, lane) << BigInt(n * bits)), 0n);
}
function clamp(value: bigint, bits: number, signed: boolean): bigint {
  const low = signed ? -(1n << BigInt(bits - 1)) : 0n;
  const high = signed ? (1n << BigInt(bits - 1)) - 1n : (1n << BigInt(bits)) - 1n;
  return value < low ? low : value > high ? high : value;
}
const all = (yes: boolean): bigint => (yes ? -1n : 0n);

/** Lane by lane on two vectors; `_s` lanes come signed, all others unsigned. */
const PAIRWISE: Readonly<Record<string, (a: bigint, b: bigint, bits: number) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  add_sat_s: (a, b, bits) => clamp(a + b, bits, true),
  add_sat_u: (a, b, bits) => clamp(a + b, bits, false),
  sub_sat_s: (a, b, bits) => clamp(a - b, bits, true),
  sub_sat_u: (a, b, bits) => clamp(a - b, bits, false),
  q15mulr_sat_s: (a, b, bits) => clamp((a * b + 0x4000n) >> 15n, bits, true),
  avgr_u: (a, b) => (a + b + 1n) / 2n,
  min_s: (a, b) => (a < b ? a : b),
  min_u: (a, b) => (a < b ? a : b),
  max_s: (a, b) => (a > b ? a : b),
  max_u: (a, b) => (a > b ? a : b),
  eq: (a, b) => all(a === b),
  gt_s: (a, b) => all(a > b),
};

const FLOATING: Readonly<Record<string, (a: bigint, b: bigint, format: Format) => bigint>> = {
  add: float.add,
  sub: float.sub,
  mul: float.mul,
  div: float.div,
  eq: (a, b, format) => all(float.equal(a, b, format)),
  ne: (a, b, format) => all(!float.equal(a, b, format)),
  lt: (a, b, format) => all(float.less(a, b, format)),
  gt: (a, b, format) => all(float.less(b, a, format)),
  le: (a, b, format) => all(float.less(a, b, format) || float.equal(a, b, format)),
  pmin: (a, b, format) => (float.less(b, a, format) ? b : a),
  pmax: (a, b, format) => (float.less(a, b, format) ? b : a),
  sqrt: (a, _, format) => float.sqrt(a, format),
  nearest: (a, _, format) => float.rounded(a, 'nearest', format),
  abs: (a, _, format) => BigInt.asUintN(format.bits - 1, a),
};

const BITWISE: Readonly<Record<string, (a: bigint, b: bigint, c: bigint) => bigint>> = {
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  andnot: (a, b) => a & ~b,
  not: (a) => ~a,
  bitselect: (a, b, c) => (a & c) | (b & ~c),
};

export type SimdArguments = {
  readonly args: readonly bigint[];
  readonly lane: number | undefined;
  readonly bytes: Uint8Array | undefined;
};

/** The value of a vector operation: 128 bits, or what a lane, a bit mask or `any_true` is. */
export function simd(name: string, { args, lane = 0, bytes = new Uint8Array(16) }: SimdArguments): bigint {
  const [a, b = 0n, c = 0n] = args;
  const [, shape, operation] = /^([a-z0-9]+?)_(.*)$/.exec(name) as RegExpExecArray;
  if (shape === 'v128') return wholeVector(operation, a, b, c, bytes);
  const bits = widthOf(shape);
  if (operation in (shape in FORMATS ? FLOATING : PAIRWISE)) return laneByLane(shape, operation, a, b);
  const conversion = convert(shape, operation, a, b);
  if (conversion !== undefined) return join(conversion, bits);
  return shiftOrLane(operation, bits, a, b, lane, bytes);
}

function wholeVector(operation: string, a: bigint, b: bigint, c: bigint, bytes: Uint8Array): bigint {
  if (operation === 'const') return join(Array.from(bytes, BigInt), 8);
  if (operation === 'any_true') return a === 0n ? 0n : 1n;
  return BigInt.asUintN(128, BITWISE[operation](a, b, c));
}

function laneByLane(shape: string, operation: string, a: bigint, b: bigint): bigint {
  const bits = widthOf(shape);
  const format = FORMATS[shape];
  const lanesOf = operation.endsWith('_s') ? splitSigned : split;
  const others = lanesOf(b, bits);
  return join(
    lanesOf(a, bits).map((lane, n) =>
      format ? FLOATING[operation](lane, others[n], format) : PAIRWISE[operation](lane, others[n], bits),
    ),
    bits,
  );
}

/** Operations whose lanes come from another shape, whose name is in theirs. */
function convert(shape: string, operation: string, a: bigint, b: bigint): Lanes | undefined {
  const match = /^([a-z_0-9]+?)_([if]\d+x\d+)(?:_([su]))?(_zero)?$/.exec(operation);
  if (!match) return undefined;
  const [, how, from, sign, zero] = match;
  const source = widthOf(from);
  const lanesOf = (vector: bigint): Lanes => (sign === 's' ? splitSigned : split)(vector, source);
  const converted = CONVERSIONS[how]({ x: lanesOf(a), y: lanesOf(b), a, b, source, shape, from, sign });
  return zero ? converted.slice(0, 2) : converted;
}

type Conversion = {
  readonly x: Lanes;
  readonly y: Lanes;
  readonly a: bigint;
  readonly b: bigint;
  readonly source: number;
  readonly shape: string;
  readonly from: string;
  readonly sign: string | undefined;
};

const lower = (lanes: Lanes): Lanes => lanes.slice(0, lanes.length / 2);
const upper = (lanes: Lanes): Lanes => lanes.slice(lanes.length / 2);
const products = (x: Lanes, y: Lanes): Lanes => x.map((lane, n) => lane * y[n]);
const pairs = (lanes: Lanes): Lanes => lower(lanes).map((_, n) => lanes[2 * n] + lanes[2 * n + 1]);

const CONVERSIONS: Readonly<Record<string, (conversion: Conversion) => Lanes>> = {
  extend_low: ({ x }) => lower(x),
  extmul_low: ({ x, y }) => products(lower(x), lower(y)),
  extmul_high: ({ x, y }) => products(upper(x), upper(y)),
  extadd_pairwise: ({ x }) => pairs(x),
  dot: ({ x, y }) => pairs(products(x, y)),
  // The lanes narrowed are signed, whichever way they saturate.
  narrow: ({ a, b, source, shape, sign }) =>
    [...splitSigned(a, source), ...splitSigned(b, source)].map((lane) => clamp(lane, widthOf(shape), sign === 's')),
  trunc_sat: ({ a, source, from }) => split(a, source).map((lane) => float.toInteger(lane, 32, FORMATS[from])),
  convert: ({ x, shape }) => x.map((lane) => float.fromInteger(lane, FORMATS[shape])),
  convert_low: ({ x, shape }) => lower(x).map((lane) => float.fromInteger(lane, FORMATS[shape])),
  promote_low: ({ x }) => lower(x).map((lane) => float.inFormat(lane, float.F32, float.F64)),
  demote: ({ x }) => x.map((lane) => float.inFormat(lane, float.F64, float.F32)),
};

function shiftOrLane(operation: string, bits: number, a: bigint, b: bigint, lane: number, bytes: Uint8Array): bigint {
  const count = b % BigInt(bits);
  const lanes = split(a, bits);
  switch (operation) {
    case 'shl':
      return join(
        lanes.map((each) => each << count),
        bits,
      );
    case 'shr_u':
      return join(
        lanes.map((each) => each >> count),
        bits,
      );
    case 'shr_s':
      return join(
        splitSigned(a, bits).map((each) => each >> count),
        bits,
      );
    case 'abs':
      return join(
        splitSigned(a, bits).map((each) => (each < 0n ? -each : each)),
        bits,
      );
    case 'splat':
      return join(
        Array.from({ length: 128 / bits }, () => a),
        bits,
      );
    case 'bitmask':
      return lanes.reduce((mask, each, n) => mask | ((each >> BigInt(bits - 1)) << BigInt(n)), 0n);
    case 'extract_lane':
    case 'extract_lane_u':
      return lanes[lane];
    case 'replace_lane':
      return join(lanes.with(lane, b), bits);
    case 'shuffle': {
      const both = [...lanes, ...split(b, bits)];
      return join(
        Array.from(bytes, (byte) => both[byte]),
        bits,
      );
    }
    case 'swizzle':
      return join(
        split(b, bits).map((index) => (index < 16n ? lanes[Number(index)] : 0n)),
        bits,
      );
    default:
      throw new InternalError(`no vector operation ${operation}`);
  }
}
