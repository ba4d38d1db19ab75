// SPDX-License-Identifier: Apache-2.0

/** See: SDM 4.2.2 Floating-Point Data Types. */
export interface Format {
  readonly name: string;
  /** Bits of significand, the integer bit included. */
  readonly precision: number;
  readonly bias: number;
  /** The exponent field when all its bits are ones. */
  readonly exponentMask: number;
  readonly bytes: number;
}

// prettier-ignore
export const BINARY32:   Format = { name: 'binary32',   precision: 24, bias: 127,   exponentMask: 0xff,   bytes: 4 };
// prettier-ignore
export const BINARY64:   Format = { name: 'binary64',   precision: 53, bias: 1023,  exponentMask: 0x7ff,  bytes: 8 };
/** The only one whose integer bit is stored, which makes encodings possible that are not numbers. */
// prettier-ignore
export const EXTENDED80: Format = { name: 'extended80', precision: 64, bias: 16383, exponentMask: 0x7fff, bytes: 10 };

/** Classes of values; those from `quietNan` on are not numbers. */
// prettier-ignore
export const KIND = {
  zero: 0, finite: 1, infinity: 2, quietNan: 3, signalingNan: 4,
  /** An extended80 encoding that no processor since the 387 produces. See: SDM 8.2.2 Unsupported Double Extended-Precision Floating-Point Encodings and Pseudo-Denormals. */
  unsupported: 5,
} as const;

/** A value in a form common to all formats: significand x 2^(exponent - 63), bit 63 of the significand set unless it is zero. */
export interface Unpacked {
  readonly kind: number;
  readonly sign: 0 | 1;
  readonly exponent: number;
  /** For a NaN, its payload, left-aligned below bit 63. */
  readonly significand: bigint;
  /** It was encoded as a denormal (or pseudo-denormal). */
  readonly denormal: boolean;
}

const INTEGER_BIT = 1n << 63n;
const QUIET_BIT: bigint = 1n << 62n;
const FRACTION = INTEGER_BIT - 1n;

/** Number of bits up to the highest one set. */
export function bitLength(value: bigint): number {
  let length = 0;
  let rest = value;
  while (rest > 0xffff_ffff_ffff_ffffn) {
    rest >>= 64n;
    length += 64;
  }
  const high = Number(rest >> 32n);
  return high === 0 ? length + 32 - Math.clz32(Number(rest)) : length + 64 - Math.clz32(high);
}

export function zero(sign: 0 | 1): Unpacked {
  return { kind: KIND.zero, sign, exponent: 0, significand: 0n, denormal: false };
}

export function infinity(sign: 0 | 1): Unpacked {
  return { kind: KIND.infinity, sign, exponent: 0, significand: INTEGER_BIT, denormal: false };
}

/** The QNaN floating-point indefinite, the answer to an invalid operation. */
export const INDEFINITE: Unpacked = {
  kind: KIND.quietNan,
  sign: 1,
  exponent: 0,
  significand: INTEGER_BIT | QUIET_BIT,
  denormal: false,
};

/** A finite value that need not be normalized: `significand` x 2^`exponent`. */
export function finite(sign: 0 | 1, exponent: number, significand: bigint): Unpacked {
  if (significand === 0n) return zero(sign);
  const length = bitLength(significand);
  const aligned = length <= 64 ? significand << BigInt(64 - length) : significand >> BigInt(length - 64);
  return { kind: KIND.finite, sign, exponent: exponent + length - 1, significand: aligned, denormal: false };
}

function unpackFields(sign: 0 | 1, field: number, significand: bigint, format: Format): Unpacked {
  if (field === format.exponentMask) {
    if ((significand & FRACTION) === 0n) return infinity(sign);
    const kind = (significand & QUIET_BIT) === 0n ? KIND.signalingNan : KIND.quietNan;
    return { kind, sign, exponent: 0, significand, denormal: false };
  }
  if (significand === 0n) return zero(sign);
  if (field !== 0) return { kind: KIND.finite, sign, exponent: field - format.bias, significand, denormal: false };
  const shift = 64 - bitLength(significand);
  const exponent = 1 - format.bias - shift;
  return { kind: KIND.finite, sign, exponent, significand: significand << BigInt(shift), denormal: true };
}

/** Takes an encoding as an unsigned integer of the format's width. */
export function unpack(bits: bigint, format: Format): Unpacked {
  if (format === EXTENDED80) return unpackExtended(bits);
  const fractionBits = format.precision - 1;
  const head = Number(bits >> BigInt(fractionBits));
  const field = head & format.exponentMask;
  const fraction = (bits << BigInt(63 - fractionBits)) & FRACTION;
  return unpackFields(
    head > format.exponentMask ? 1 : 0,
    field,
    field === 0 ? fraction : fraction | INTEGER_BIT,
    format,
  );
}

function unpackExtended(bits: bigint): Unpacked {
  const head = Number(bits >> 64n);
  const significand = bits & 0xffff_ffff_ffff_ffffn;
  const field = head & 0x7fff;
  const sign = head > 0x7fff ? 1 : 0;
  if (field !== 0 && (significand & INTEGER_BIT) === 0n)
    return { kind: KIND.unsupported, sign, exponent: 0, significand, denormal: false };
  return unpackFields(sign, field, significand, EXTENDED80);
}

/** Joins the three fields of an encoding; `significand` has its integer bit, which all but extended80 drop. */
export function encode(format: Format, sign: 0 | 1, field: number, significand: bigint): bigint {
  const head = BigInt((sign === 1 ? format.exponentMask + 1 : 0) + field);
  if (format === EXTENDED80) return (head << 64n) | significand;
  const fractionBits = BigInt(format.precision - 1);
  return (head << fractionBits) | (significand & ((1n << fractionBits) - 1n));
}

/** Encodes zeroes, infinities and NaNs; a NaN loses the payload bits that do not fit and becomes quiet. */
export function packSpecial(format: Format, value: Unpacked): bigint {
  if (value.kind === KIND.zero) return encode(format, value.sign, 0, 0n);
  const significand = value.kind >= KIND.quietNan ? value.significand | QUIET_BIT : value.significand;
  return encode(format, value.sign, format.exponentMask, significand >> BigInt(64 - format.precision));
}
