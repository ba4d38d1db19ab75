// SPDX-License-Identifier: Apache-2.0
import type { MemoryMappedDevice } from '../hardware/memory.ts';

/** What an access of so many bytes reads where nothing answers. */
export const ALL_ONES: Readonly<Record<1 | 2 | 4, number>> = { 1: 0xff, 2: 0xffff, 4: 0xffff_ffff };

/** Byte number `index` (0 the lowest) of a value of up to 32 bits. */
export function byteOf(value: number, index: number): number {
  return (value >>> (8 * index)) & 0xff;
}

/** Little-endian, zero-extended. */
export function readLittleEndian(bytes: Uint8Array, offset: number, width: 1 | 2 | 4): number {
  let value = 0;
  for (let index = width - 1; index >= 0; index--) value = value * 256 + bytes[offset + index];
  return value;
}

/** Little-endian, the low `width` bytes of `value`. */
export function writeLittleEndian(bytes: Uint8Array, offset: number, width: 1 | 2 | 4, value: number): void {
  for (let index = 0; index < width; index++) bytes[offset + index] = byteOf(value, index);
}

/** A device whose registers are single bytes: wider accesses become byte accesses, lowest address first. */
export abstract class ByteWideDevice implements MemoryMappedDevice {
  abstract readByte(offset: number): number;
  abstract writeByte(offset: number, value: number): void;

  readMemory(offset: number, width: 1 | 2 | 4): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) value += this.readByte(offset + byte) * 2 ** (8 * byte);
    return value;
  }

  writeMemory(offset: number, width: 1 | 2 | 4, value: number): void {
    for (let byte = 0; byte < width; byte++) this.writeByte(offset + byte, byteOf(value, byte));
  }
}

/** Reads part of a 32-bit register: `offset` is the access's within the register's dword. Width 4 must be aligned. */
export function partOfDword(value: number, offset: number, width: 1 | 2 | 4): number {
  return (width === 4 ? value : (value >>> (8 * (offset & 3))) & ALL_ONES[width]) >>> 0;
}

/** The register's new value after `width` bytes at `offset` within its dword were written. */
export function mergeIntoDword(old: number, offset: number, width: 1 | 2 | 4, value: number): number {
  if (width === 4) return value >>> 0;
  const shift = 8 * (offset & 3);
  const mask = ALL_ONES[width] << shift;
  return ((old & ~mask) | ((value << shift) & mask)) >>> 0;
}
