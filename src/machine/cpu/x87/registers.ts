// SPDX-License-Identifier: Apache-2.0

/** Status word. See: SDM 8.1.3 x87 FPU Status Register. */
// prettier-ignore
export const FSW = {
  exceptions: 0x003f,
  stackFault: 0x0040,
  summary:    0x0080,
  c0:         0x0100,
  c1:         0x0200,
  c2:         0x0400,
  conditions: 0x4700,
  top:        0x3800,
  c3:         0x4000,
  busy:       0x8000,
  /** What FNCLEX leaves. */
  afterClear: 0x7f00,
} as const;

export const TOP_SHIFT = 11;

/** Control word. See: SDM 8.1.5 x87 FPU Control Word. */
// prettier-ignore
export const FCW = {
  masks:     0x003f,
  precision: 0x0300,
  rounding:  0x0c00,
  /** After FNINIT. */
  initial:   0x037f,
  /** Bit 6 reads as one, bits 7 and 15:13 as zero. */
  fixed:     0x0040,
  writable:  0x1f7f,
} as const;

/** Bits of significand for each value of the precision-control field; 1 is reserved. See: SDM Table 8-2 Precision Control Field (PC). */
export const PRECISIONS = [24, 64, 53, 64] as const;

/** Full tags. See: SDM 8.1.7 x87 FPU Tag Word. */
export const TAG = { valid: 0, zero: 1, special: 2, empty: 3 } as const;

/** The full tag of a register that is not empty. */
export function tagOf(bits: bigint): number {
  const exponent = Number(bits >> 64n) & 0x7fff;
  const significand = bits & 0xffff_ffff_ffff_ffffn;
  if (exponent === 0) return significand === 0n ? TAG.zero : TAG.special;
  return exponent === 0x7fff || significand >> 63n === 0n ? TAG.special : TAG.valid;
}
