// SPDX-License-Identifier: Apache-2.0
// Reading and writing the current VMCS in the shapes that L0's code wants: offsets are those of arch/vmx/fields.ts.

import type { RootProcessor } from '../hardware/vmx.ts';

const TWO_32 = 0x1_0000_0000;

/** A natural-width field as a signed Number: exact when it holds a canonical address or a small value. */
export function readNatural(processor: RootProcessor, offset: number): number {
  return (processor.readHigh(offset) | 0) * TWO_32 + processor.readLow(offset);
}

/** Writes a signed Number (canonical address or small value) to a natural-width field. */
export function writeNatural(processor: RootProcessor, offset: number, value: number): void {
  processor.write(offset, value >>> 0, Math.floor(value / TWO_32) >>> 0);
}

/** A 64-bit field that holds a physical address, unsigned. */
export function readAddress(processor: RootProcessor, offset: number): number {
  return processor.readHigh(offset) * TWO_32 + processor.readLow(offset);
}

/** Writes a field of 16 or 32 bits. */
export function write32(processor: RootProcessor, offset: number, value: number): void {
  processor.write(offset, value >>> 0, 0);
}

/** An unsigned 64-bit value: for cold paths. */
export function readWide(processor: RootProcessor, offset: number): bigint {
  return (BigInt(processor.readHigh(offset)) << 32n) | BigInt(processor.readLow(offset));
}

/** Writes an unsigned 64-bit value. */
export function writeWide(processor: RootProcessor, offset: number, value: bigint): void {
  processor.write(offset, Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
}

/** Whether any bit of `mask` is 1 in the low half of a field. */
export function isSet(processor: RootProcessor, offset: number, mask: number): boolean {
  return (processor.readLow(offset) & mask) !== 0;
}

/**
 * Sets or clears bits of a 32-bit field. A field that already is so is not written: what VM entry has checked stays
 * checked.
 */
export function setBits(processor: RootProcessor, offset: number, mask: number, on: boolean): void {
  const before = processor.readLow(offset);
  const after = (on ? before | mask : before & ~mask) >>> 0;
  if (after !== before) processor.write(offset, after, 0);
}
