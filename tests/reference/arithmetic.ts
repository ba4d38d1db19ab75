// SPDX-License-Identifier: Apache-2.0

import {
  bitsOf,
  type BinaryOperator,
  type Conversion,
  type Type,
  type UnaryOperator,
} from '../../src/machine/cpu/operations/graph.ts';
import * as float from './float.ts';
import type { Format } from './float.ts';

/** Operators on values of the graph's types. A value is its bits: a BigInt without sign. */

const FORMATS: Partial<Record<Type, Format>> = { f32: float.F32, f64: float.F64 };
const signed = (value: bigint, type: Type): bigint => BigInt.asIntN(bitsOf(type), value);
const yes = (condition: boolean): bigint => (condition ? 1n : 0n);

/** Shift counts are taken modulo 32, or 64 where the value has 64 bits. */
const count = (b: bigint, type: Type): bigint => b % (type === 'i64' ? 64n : 32n);

type Binary = (a: bigint, b: bigint, type: Type) => bigint;

const BINARY: Record<Exclude<BinaryOperator, 'div' | 'lt'>, Binary> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b, type) => a << count(b, type),
  shr: (a, b, type) => a >> count(b, type),
  sar: (a, b, type) => signed(a, type) >> count(b, type),
  rotl: (a, b, type) => (a << (b % BigInt(bitsOf(type)))) | (a >> (BigInt(bitsOf(type)) - (b % BigInt(bitsOf(type))))),
  rotr: (a, b, type) => (a >> (b % BigInt(bitsOf(type)))) | (a << (BigInt(bitsOf(type)) - (b % BigInt(bitsOf(type))))),
  divu: (a, b) => a / b,
  remu: (a, b) => a % b,
  divs: (a, b, type) => signed(a, type) / signed(b, type),
  rems: (a, b, type) => signed(a, type) % signed(b, type),
  eq: (a, b) => yes(a === b),
  ne: (a, b) => yes(a !== b),
  ltu: (a, b) => yes(a < b),
  leu: (a, b) => yes(a <= b),
  lts: (a, b, type) => yes(signed(a, type) < signed(b, type)),
  les: (a, b, type) => yes(signed(a, type) <= signed(b, type)),
};

const FLOAT_BINARY: Partial<Record<BinaryOperator, (a: bigint, b: bigint, format: Format) => bigint>> = {
  add: float.add,
  sub: float.sub,
  mul: float.mul,
  div: float.div,
  eq: (a, b, format) => yes(float.equal(a, b, format)),
  lt: (a, b, format) => yes(float.less(a, b, format)),
};

export function binary(operator: BinaryOperator, a: bigint, b: bigint, from: Type, to: Type): bigint {
  const format = FORMATS[from];
  const compute = (format ? FLOAT_BINARY[operator] : BINARY[operator as keyof typeof BINARY]) as
    | ((a: bigint, b: bigint, what: Format | Type) => bigint)
    | undefined;
  if (!compute) throw new Error(`${operator} of ${from}`);
  return BigInt.asUintN(bitsOf(to), compute(a, b, format ?? from));
}

function leadingZeros(a: bigint, bits: number): bigint {
  return BigInt(a === 0n ? bits : bits - a.toString(2).length);
}
function trailingZeros(a: bigint, bits: number): bigint {
  return BigInt(a === 0n ? bits : a.toString(2).length - a.toString(2).lastIndexOf('1') - 1);
}

export function unary(operator: UnaryOperator, a: bigint, type: Type): bigint {
  const bits = bitsOf(type);
  const format = FORMATS[type];
  switch (operator) {
    case 'not':
      return BigInt.asUintN(bits, ~a);
    case 'neg':
      return BigInt.asUintN(bits, -a);
    case 'clz':
      return leadingZeros(a, bits);
    case 'ctz':
      return trailingZeros(a, bits);
    case 'popcnt':
      return BigInt(Array.from(a.toString(2)).filter((digit) => digit === '1').length);
    case 'isZero':
      return yes(a === 0n);
    case 'sqrt':
      return float.sqrt(a, format as Format);
    case 'abs':
      return BigInt.asUintN(bits - 1, a);
    default:
      return float.rounded(a, operator, format as Format);
  }
}

export function convert(how: Conversion, a: bigint, from: Type, to: Type): bigint {
  const bits = bitsOf(to);
  switch (how) {
    case 'sext':
      return BigInt.asUintN(bits, signed(a, from));
    case 'fromSigned':
      return float.fromInteger(signed(a, from), FORMATS[to] as Format);
    case 'toSigned':
      return BigInt.asUintN(bits, float.toInteger(a, bits, FORMATS[from] as Format));
    case 'promote':
    case 'demote':
      return float.inFormat(a, FORMATS[from] as Format, FORMATS[to] as Format);
    default: // zext, trunc, reinterpret
      return BigInt.asUintN(bits, a);
  }
}
