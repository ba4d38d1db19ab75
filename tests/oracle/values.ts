// SPDX-License-Identifier: Apache-2.0

import type { Random } from './random.ts';

/** What an operand holds: decides which values are interesting. */
export type DataKind =
  | 'integer'
  | 'vector'
  | 'f32'
  | 'f64'
  | 'f32-finite'
  | 'f64-finite'
  | 'f32-ordinary'
  | 'f64-ordinary'
  | 'f80'
  | 'bcd';

// prettier-ignore
const F32 = [
  0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff,
  0x3f000000, 0x3fc00000, 0x40200000, 0xbf000000, 0x4b000000, 0x4b800001, 0x4effffff, 0x4f000000, 0xcf000000, 0x5f000000, 0xdf000000,
  0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7fc12345, 0xffd54321, 0x7f800001, 0xffbfffff,
];
// prettier-ignore
const F64 = [
  0x0000000000000000n, 0x8000000000000000n, 0x3ff0000000000000n, 0xbff0000000000000n, 0x0000000000000001n, 0x8000000000000001n,
  0x000fffffffffffffn, 0x0010000000000000n, 0x7fefffffffffffffn, 0xffefffffffffffffn, 0x3fe0000000000000n, 0x3ff8000000000000n,
  0x4004000000000000n, 0x4330000000000000n, 0x4340000000000001n, 0x41dfffffffc00000n, 0x41dfffffffe00000n, 0xc1e0000000000000n,
  0xc1e0000000200000n, 0x43e0000000000000n, 0xc3e0000000000000n, 0x47efffffe0000000n, 0x47effffff0000000n, 0x36a0000000000000n,
  0x3810000000000000n, 0x380fffffffffffffn, 0x7ff0000000000000n, 0xfff0000000000000n, 0x7ff8000000000000n, 0xfff8000000000000n,
  0x7ff8123456789abcn, 0x7ff0000000000001n, 0xfff7ffffffffffffn,
];
/** Sign and exponent, significand. Only encodings that the 80387 and later accept, plus pseudo-denormals. */
// prettier-ignore
const F80: readonly (readonly [number, bigint])[] = [
  [0x0000, 0n], [0x8000, 0n], [0x3fff, 1n << 63n], [0xbfff, 1n << 63n], [0x0000, 1n], [0x8000, 1n], [0x0000, (1n << 63n) - 1n],
  [0x0001, 1n << 63n], [0x8001, 1n << 63n], [0x7ffe, (1n << 64n) - 1n], [0xfffe, (1n << 64n) - 1n], [0x3ffe, 1n << 63n], [0x3fff, 3n << 62n],
  [0x4000, 5n << 61n], [0x403e, 1n << 63n], [0xc03e, 1n << 63n], [0x403d, (1n << 64n) - 1n], [0x401e, 1n << 63n], [0xc01e, 1n << 63n],
  [0x400e, 1n << 63n], [0xc00e, 1n << 63n], [0x7fff, 1n << 63n], [0xffff, 1n << 63n], [0x7fff, 3n << 62n], [0xffff, 3n << 62n],
  [0x7fff, 0xc123456789abcdefn], [0x7fff, 0x8000000000000001n], [0xffff, 0xbfffffffffffffffn], [0x4000, 0xc90fdaa22168c235n], [0x0000, 1n << 63n],
];

/** An integer of `size` bytes: often 0, 1, -1, a bound, a power of two, something small; else random. */
export function interestingInteger(random: Random, size: number): bigint {
  const bits = size * 8;
  const top = 1n << BigInt(bits - 1);
  switch (random.below(12)) {
    case 0:
      return 0n;
    case 1:
      return random.chance(50) ? 1n : (top << 1n) - 1n;
    case 2:
      return random.chance(50) ? top : top - 1n;
    case 3:
      return 1n << BigInt(random.below(bits));
    case 4:
      return BigInt(random.below(256));
    case 5:
      return BigInt.asUintN(bits, -BigInt(random.below(256)));
    default:
      return BigInt.asUintN(bits, random.u64());
  }
}

/** What a general register may hold when the operand is `size` bytes wide: interesting low part, any high part. */
export function interestingRegister(random: Random, size: number): bigint {
  const high = random.chance(50) ? random.u64() : random.chance(50) ? 0n : (1n << 64n) - 1n;
  const low = interestingInteger(random, size);
  const mask = (1n << BigInt(size * 8)) - 1n;
  return (high & ~mask & 0xffff_ffff_ffff_ffffn) | low;
}

/** Neither large nor small, sometimes zero, sometimes with few bits so that results are exact. */
function ordinaryF32(random: Random): number {
  if (random.chance(5)) return random.chance(50) ? 0 : 0x80000000;
  const bits = (random.u32() & 0x807fffff) | ((127 - 10 + random.below(20)) << 23);
  return (bits & (random.chance(40) ? 0xfff80000 : -1)) >>> 0;
}

function ordinaryF64(random: Random): bigint {
  if (random.chance(5)) return random.chance(50) ? 0n : 1n << 63n;
  const bits = (random.u64() & 0x800f_ffff_ffff_ffffn) | (BigInt(1023 - 10 + random.below(20)) << 52n);
  return bits & (random.chance(40) ? 0xffff_ff00_0000_0000n : -1n);
}

function interestingF32(random: Random, finite: boolean): number {
  for (;;) {
    const bits = oneF32(random);
    if (!finite || (bits & 0x7f800000) !== 0x7f800000) return bits;
  }
}

function oneF32(random: Random): number {
  switch (random.below(4)) {
    case 0:
      return random.pick(F32);
    case 1:
      return random.u32();
    default: // near one, so that sums and products stay interesting
      return (
        (((random.u32() & 0x807fffff) | ((127 - 26 + random.below(60)) << 23)) &
          (random.chance(30) ? 0xffff0000 : -1)) >>>
        0
      );
  }
}

function interestingF64(random: Random, finite: boolean): bigint {
  for (;;) {
    const bits = oneF64(random);
    if (!finite || ((bits >> 52n) & 0x7ffn) !== 0x7ffn) return bits;
  }
}

function oneF64(random: Random): bigint {
  switch (random.below(4)) {
    case 0:
      return random.pick(F64);
    case 1:
      return random.u64();
    default: {
      const mantissa = random.u64() & 0x800f_ffff_ffff_ffffn & (random.chance(30) ? ~0xffff_ffffn : -1n);
      return mantissa | (BigInt(1023 - 34 + random.below(70)) << 52n);
    }
  }
}

/** Sign and exponent, significand of an 80-bit value. */
export function interestingF80(random: Random): readonly [number, bigint] {
  switch (random.below(6)) {
    case 0:
    case 1:
      return random.pick(F80);
    case 2: // sometimes without its integer bit: an unnormal, a pseudo-infinity, a pseudo-NaN
      return [random.u32() & 0xffff, random.chance(25) ? random.u64() >> 1n : random.u64() | (1n << 63n)];
    case 3: // a small integer
      return smallInteger(random);
    default: {
      const significand = (random.u64() | (1n << 63n)) & (random.chance(40) ? ~0xff_ffff_ffffn : -1n);
      return [(random.u32() & 0x8000) | (0x3fff - 20 + random.below(60)), BigInt.asUintN(64, significand)];
    }
  }
}

function smallInteger(random: Random): readonly [number, bigint] {
  const value = 1 + random.below(1000);
  const exponent = 31 - Math.clz32(value);
  return [(random.u32() & 0x8000) | (0x3fff + exponent), BigInt(value) << BigInt(63 - exponent)];
}

/** `length` bytes of the given kind, little-endian elements. For integers `length` is the operand size. */
export function interestingBytes(random: Random, kind: DataKind, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  switch (kind) {
    case 'integer': {
      let value = interestingInteger(random, Math.min(length, 8));
      for (let at = 0; at < length; at++, value >>= 8n) bytes[at] = at < 8 ? Number(value & 0xffn) : random.below(256);
      return bytes;
    }
    case 'vector':
      return interestingVector(random, bytes);
    case 'f32':
    case 'f32-finite':
      for (let at = 0; at + 4 <= length; at += 4) view.setUint32(at, interestingF32(random, kind !== 'f32'), true);
      return bytes;
    case 'f64':
    case 'f64-finite':
      for (let at = 0; at + 8 <= length; at += 8) view.setBigUint64(at, interestingF64(random, kind !== 'f64'), true);
      return bytes;
    case 'f32-ordinary':
      for (let at = 0; at + 4 <= length; at += 4) view.setUint32(at, ordinaryF32(random), true);
      return bytes;
    case 'f64-ordinary':
      for (let at = 0; at + 8 <= length; at += 8) view.setBigUint64(at, ordinaryF64(random), true);
      return bytes;
    case 'f80': {
      const [head, significand] = interestingF80(random);
      view.setBigUint64(0, significand, true);
      view.setUint16(8, head, true);
      return bytes;
    }
    case 'bcd':
      for (let at = 0; at < 9; at++) bytes[at] = random.below(10) | (random.below(10) << 4);
      bytes[9] = random.chance(50) ? 0x80 : 0;
      return bytes;
  }
}

function interestingVector(random: Random, bytes: Uint8Array): Uint8Array {
  const element = random.pick([1, 2, 4, 8]);
  for (let at = 0; at < bytes.length; at += element) {
    let value = interestingInteger(random, element);
    for (let n = 0; n < element && at + n < bytes.length; n++, value >>= 8n) bytes[at + n] = Number(value & 0xffn);
  }
  return bytes;
}
