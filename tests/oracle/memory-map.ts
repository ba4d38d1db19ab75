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

/** The byte every case finds at `address` unless it brings its own. */
export function backgroundByte(address: number): number {
  const low = address | 0;
  return (Math.imul(low ^ (low >>> 8), 0x3d) + 0x5a) & 0xff;
}

/** A fresh copy of a region's background. */
export function backgroundOf(region: Region): Uint8Array {
  return Uint8Array.from({ length: region.length }, (_, offset) => backgroundByte(region.start + offset));
}
