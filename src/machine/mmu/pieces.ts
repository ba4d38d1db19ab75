// SPDX-License-Identifier: Apache-2.0
import type { PhysicalAddress } from '../../hardware/memory.ts';

/** For a handful of bytes a loop is several times faster than copyWithin. */
export function copyFew(bytes: Uint8Array, to: number, from: number, size: number): void {
  for (let i = 0; i < size; i++) bytes[to + i] = bytes[from + i];
}

/** How wide the next naturally aligned access to a device is, of `left` bytes that remain. */
export function pieceWidth(address: PhysicalAddress, left: number): 1 | 2 | 4 {
  for (const width of [4, 2] as const) if (left >= width && address % width === 0) return width;
  return 1;
}
