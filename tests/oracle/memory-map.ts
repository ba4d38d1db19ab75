// SPDX-License-Identifier: Apache-2.0

/** The pages a case can see. native/runner.c maps the same; whatever is not listed is unmapped. */
export type Region = {
  readonly name: string;
  readonly start: number;
  readonly length: number;
  readonly write: boolean;
  readonly execute: boolean;
};

// prettier-ignore
export const REGIONS: readonly Region[] = [
  { name: 'code',      start: 0x10000000,     length: 0x2000, write: false, execute: true },
  { name: 'data',      start: 0x20000000,     length: 0x2000, write: true,  execute: false },
  { name: 'read-only', start: 0x20002000,     length: 0x1000, write: false, execute: false },
  { name: 'stack',     start: 0x30000000,     length: 0x2000, write: true,  execute: false },
  { name: 'far',       start: 0x123456789000, length: 0x1000, write: true,  execute: false },
];

export const CODE = 0x10000000;
export const CODE_END = 0x10002000;
export const DATA = 0x20000000;
export const READ_ONLY = 0x20002000;
export const UNMAPPED = 0x20003000;
export const STACK = 0x30000000;
export const FAR = 0x123456789000;
/** Only at and above it: just below, Linux hides from a program what its page-fault error code was. */
export const NON_CANONICAL = 0x0000_8000_0000_0000n;

/**
 * The GDT that Linux gives its processors, where a program can see what is in it (LAR, LSL, segment loads). The TSS at 0x40
 * stands for all descriptors of DPL 0; entry 15, whose limit tells a program its processor, is left out.
 */
// prettier-ignore
export const DESCRIPTORS: readonly bigint[] = [
  0n,
  0x00cf9b000000ffffn, // 0x08: the kernel's 32-bit code
  0x00af9b000000ffffn, // 0x10: its 64-bit code
  0x00cf93000000ffffn, // 0x18: its data
  0x00cffb000000ffffn, // 0x23: 32-bit code
  0x00cff3000000ffffn, // 0x2b: data
  0x00affb000000ffffn, // 0x33: 64-bit code
  0n,
  0x00008b0000000067n, // 0x40: a busy TSS
  0n, 0n, 0n, 0n, 0n, 0n, 0n,
];
/** Where the GDT is in linear memory: a page of the supervisor, out of the way of every case. */
export const DESCRIPTOR_TABLE = 0x5a5a_5a5a_5000;

/** The byte every case finds at `address` unless it brings its own. */
export function backgroundByte(address: number): number {
  const low = address | 0;
  return (Math.imul(low ^ (low >>> 8), 0x3d) + 0x5a) & 0xff;
}

/** A fresh copy of a region's background. */
export function backgroundOf(region: Region): Uint8Array {
  return Uint8Array.from({ length: region.length }, (_, offset) => backgroundByte(region.start + offset));
}
