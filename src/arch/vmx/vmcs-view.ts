// SPDX-License-Identifier: Apache-2.0
// Reading a VMCS by byte offset, in unsigned 32-bit halves.

/** A VMCS as the checks see it: the machine's region, L0's copy of vmcs12, or a test's. */
export interface VmcsView {
  /** Bits 31:0 of the field at this region offset, 0..2^32-1. */
  low(offset: number): number;
  /** Bits 63:32 of the field at this region offset, 0..2^32-1. */
  high(offset: number): number;
}

/**
 * A VMCS region inside an array of 32-bit words. Mutable, so that one object serves whichever VMCS is current;
 * whoever replaces the memory behind `words` (it grew) sets it again.
 */
export class RegionView implements VmcsView {
  words: Uint32Array;
  /** Index of the region's first word. */
  first: number;

  constructor(words: Uint32Array, first: number) {
    this.words = words;
    this.first = first;
  }

  low(offset: number): number {
    return this.words[this.first + (offset >> 2)];
  }

  high(offset: number): number {
    return this.words[this.first + (offset >> 2) + 1];
  }

  /** Writes a field; the caller has cut the value to the field's width. */
  write(offset: number, low: number, high: number): void {
    this.words[this.first + (offset >> 2)] = low;
    this.words[this.first + (offset >> 2) + 1] = high;
  }
}

/** A 64-bit field that holds a physical address, as a Number (exact below 2^53). */
export function addressAt(view: VmcsView, offset: number): number {
  return view.high(offset) * 0x1_0000_0000 + view.low(offset);
}
