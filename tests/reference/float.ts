// SPDX-License-Identifier: Apache-2.0

/** IEEE 754 by the book: every operation exact in whole numbers, then rounded once, to nearest, ties to even. Encodings are BigInts. */
export type Format = { readonly bits: number; readonly precision: number; readonly bias: number };

export const F32: Format = { bits: 32, precision: 24, bias: 127 };
export const F64: Format = { bits: 64, precision: 53, bias: 1023 };

/** magnitude * 2^exponent, or no number. */
type Real =
  | { readonly kind: 'number'; readonly negative: boolean; readonly magnitude: bigint; readonly exponent: number }
  | { readonly kind: 'infinity'; readonly negative: boolean }
  | { readonly kind: 'nan' };

const NAN: Real = { kind: 'nan' };
const ones = (bits: number): bigint => (1n << BigInt(bits)) - 1n;
const lengthOf = (value: bigint): number => value.toString(2).length;
/** Exponent of the last place of the smallest numbers. */
const least = ({ bias, precision }: Format): number => 2 - bias - precision;

/** What no description may let out: which NaN WebAssembly gives is nobody's business. This one would be noticed. */
export function poison({ bits, precision }: Format): bigint {
  const fraction = precision - 1;
  return (ones(bits - 1 - fraction) << BigInt(fraction)) | (1n << BigInt(fraction - 1)) | 0x2bad1n;
}

export function decode(encoding: bigint, format: Format): Real {
  const fractionBits = BigInt(format.precision - 1);
  const negative = encoding >> BigInt(format.bits - 1) === 1n;
  const field = (encoding >> fractionBits) & ones(format.bits - format.precision);
  const fraction = encoding & ones(format.precision - 1);
  if (field === ones(format.bits - format.precision)) return fraction === 0n ? { kind: 'infinity', negative } : NAN;
  if (field === 0n) return { kind: 'number', negative, magnitude: fraction, exponent: least(format) };
  const magnitude = fraction | (1n << fractionBits);
  return { kind: 'number', negative, magnitude, exponent: least(format) + Number(field) - 1 };
}

function encodeInfinity(negative: boolean, { bits, precision }: Format): bigint {
  return (negative ? 1n << BigInt(bits - 1) : 0n) | (ones(bits - precision) << BigInt(precision - 1));
}

/** To the nearest number of the format. `inexact`: a little more than the magnitude says. */
function round(negative: boolean, magnitude: bigint, exponent: number, format: Format, inexact = false): bigint {
  const sign = negative ? 1n << BigInt(format.bits - 1) : 0n;
  if (magnitude === 0n) return sign;
  let place = Math.max(exponent + lengthOf(magnitude) - format.precision, least(format));
  let whole = magnitude;
  if (place <= exponent) whole <<= BigInt(exponent - place);
  else {
    const cut = BigInt(place - exponent);
    const rest = magnitude & ((1n << cut) - 1n);
    const half = 1n << (cut - 1n);
    whole = magnitude >> cut;
    if (rest > half || (rest === half && (inexact || whole & 1n))) whole++;
  }
  if (lengthOf(whole) > format.precision) {
    whole >>= 1n;
    place++;
  }
  const normal = lengthOf(whole) === format.precision;
  const field = normal ? BigInt(place - least(format) + 1) : 0n;
  if (field >= ones(format.bits - format.precision)) return encodeInfinity(negative, format);
  return sign | (field << BigInt(format.precision - 1)) | (whole & ones(format.precision - 1));
}

function encode(real: Real, format: Format): bigint {
  if (real.kind === 'nan') return poison(format);
  if (real.kind === 'infinity') return encodeInfinity(real.negative, format);
  return round(real.negative, real.magnitude, real.exponent, format);
}

const signed = (real: Real & { kind: 'number' }, exponent: number): bigint => {
  const value = real.magnitude << BigInt(real.exponent - exponent);
  return real.negative ? -value : value;
};

function sum(x: Real, y: Real): Real {
  if (x.kind === 'nan' || y.kind === 'nan') return NAN;
  if (x.kind === 'infinity') return y.kind === 'infinity' && x.negative !== y.negative ? NAN : x;
  if (y.kind === 'infinity') return y;
  const exponent = Math.min(x.exponent, y.exponent);
  const total = signed(x, exponent) + signed(y, exponent);
  // A sum of zero is positive unless both were negative zeros.
  const negative = total < 0n || (total === 0n && x.negative && y.negative);
  return { kind: 'number', negative, magnitude: total < 0n ? -total : total, exponent };
}

const negated = (real: Real): Real => (real.kind === 'nan' ? real : { ...real, negative: !real.negative });

export function add(a: bigint, b: bigint, format: Format): bigint {
  return encode(sum(decode(a, format), decode(b, format)), format);
}

export function sub(a: bigint, b: bigint, format: Format): bigint {
  return encode(sum(decode(a, format), negated(decode(b, format))), format);
}

const isZero = (real: Real): boolean => real.kind === 'number' && real.magnitude === 0n;

export function mul(a: bigint, b: bigint, format: Format): bigint {
  const [x, y] = [decode(a, format), decode(b, format)];
  if (x.kind === 'nan' || y.kind === 'nan') return poison(format);
  const negative = x.negative !== y.negative;
  if (x.kind === 'infinity' || y.kind === 'infinity')
    return isZero(x) || isZero(y) ? poison(format) : encodeInfinity(negative, format);
  return round(negative, x.magnitude * y.magnitude, x.exponent + y.exponent, format);
}

/** So many more bits than any format has. */
const SPARE = 200n;

export function div(a: bigint, b: bigint, format: Format): bigint {
  const [x, y] = [decode(a, format), decode(b, format)];
  if (x.kind === 'nan' || y.kind === 'nan') return poison(format);
  const negative = x.negative !== y.negative;
  if (x.kind === 'infinity') return y.kind === 'infinity' ? poison(format) : encodeInfinity(negative, format);
  if (y.kind === 'infinity') return round(negative, 0n, 0, format);
  if (y.magnitude === 0n) return x.magnitude === 0n ? poison(format) : encodeInfinity(negative, format);
  const dividend = x.magnitude << SPARE;
  const inexact = dividend % y.magnitude !== 0n;
  return round(negative, dividend / y.magnitude, x.exponent - y.exponent - Number(SPARE), format, inexact);
}

/** The largest whole number whose square is not above `value`, by bisection. */
function wholeRoot(value: bigint): bigint {
  let low = 0n;
  let high = 1n << BigInt(Math.ceil(lengthOf(value) / 2) + 1);
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle * middle <= value) low = middle;
    else high = middle;
  }
  return low;
}

export function sqrt(a: bigint, format: Format): bigint {
  const x = decode(a, format);
  if (x.kind === 'nan' || isZero(x)) return x.kind === 'nan' ? poison(format) : a;
  if (x.negative) return poison(format);
  if (x.kind === 'infinity') return a;
  const even = x.exponent % 2 === 0 ? x.magnitude << SPARE : x.magnitude << (SPARE + 1n);
  const exponent = x.exponent % 2 === 0 ? x.exponent - Number(SPARE) : x.exponent - Number(SPARE) - 1;
  const root = wholeRoot(even);
  return round(false, root, exponent / 2, format, root * root !== even);
}

export function equal(a: bigint, b: bigint, format: Format): boolean {
  return order(a, b, format) === 0;
}
export function less(a: bigint, b: bigint, format: Format): boolean {
  return order(a, b, format) === -1;
}

/** -1, 0 or 1; undefined if one is a NaN. */
function order(a: bigint, b: bigint, format: Format): number | undefined {
  const [x, y] = [decode(a, format), decode(b, format)];
  if (x.kind === 'nan' || y.kind === 'nan') return undefined;
  const [p, q] = [scaled(x), scaled(y)];
  return p < q ? -1 : p > q ? 1 : 0;
}

/** In units that all numbers of all formats are multiples of; infinity beyond them all. */
function scaled(real: Exclude<Real, { kind: 'nan' }>): bigint {
  const size = real.kind === 'infinity' ? 1n << 4000n : real.magnitude << BigInt(real.exponent + 1100);
  return real.negative ? -size : size;
}

export type Rounding = 'nearest' | 'floor' | 'ceil' | 'truncate';

export function rounded(a: bigint, how: Rounding, format: Format): bigint {
  const x = decode(a, format);
  if (x.kind !== 'number' || x.exponent >= 0) return x.kind === 'nan' ? poison(format) : a;
  const whole = integral(x, how);
  return round(x.negative, whole < 0n ? -whole : whole, 0, format);
}

function integral(x: Real & { kind: 'number' }, how: Rounding): bigint {
  if (x.exponent >= 0) return signed(x, 0);
  const unit = 1n << BigInt(-x.exponent);
  const value = x.negative ? -x.magnitude : x.magnitude;
  const rest = ((value % unit) + unit) % unit;
  const floor = (value - rest) / unit;
  if (rest === 0n || how === 'floor') return floor;
  if (how === 'ceil') return floor + 1n;
  if (how === 'truncate') return x.negative ? floor + 1n : floor;
  return 2n * rest > unit || (2n * rest === unit && floor & 1n) ? floor + 1n : floor;
}

/** Cut to an integer, saturating at `bits`; a NaN gives 0. Signed, as a BigInt of that sign. */
export function toInteger(a: bigint, bits: number, format: Format): bigint {
  const x = decode(a, format);
  const limit = 1n << BigInt(bits - 1);
  if (x.kind === 'nan') return 0n;
  if (x.kind === 'infinity') return x.negative ? -limit : limit - 1n;
  const value = integral(x, 'truncate');
  return value < -limit ? -limit : value >= limit ? limit - 1n : value;
}

export function fromInteger(value: bigint, format: Format): bigint {
  return round(value < 0n, value < 0n ? -value : value, 0, format);
}

export function inFormat(a: bigint, from: Format, to: Format): bigint {
  return encode(decode(a, from), to);
}
