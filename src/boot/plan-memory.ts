// SPDX-License-Identifier: Apache-2.0

import { assert } from '../base/assert.ts';
import { hex } from '../base/hex.ts';
import type { MemoryWrite } from './plan.ts';

/** Memory as it is after a plan's writes, for reading only. What no write reached is zero. Addresses are physical. */
export interface PlannedMemory {
  bytes(address: number, length: number): Uint8Array;
  u32(address: number): number;
  u64(address: number): bigint;
}

/** Asserts on the way that no two writes overlap. */
export function memoryOf(writes: readonly MemoryWrite[]): PlannedMemory {
  const sorted = writes.toSorted((a, b) => a.address - b.address);
  sorted.slice(1).forEach((write, index) => {
    const before = sorted[index]!;
    assert(
      before.address + before.bytes.length <= write.address,
      `${before.what} runs into ${write.what} at ${hex(write.address)}`,
    );
  });
  const bytes = (address: number, length: number): Uint8Array => {
    const result = new Uint8Array(length);
    for (const write of sorted) {
      const [start, end] = [
        Math.max(address, write.address),
        Math.min(address + length, write.address + write.bytes.length),
      ];
      if (start < end) result.set(write.bytes.subarray(start - write.address, end - write.address), start - address);
    }
    return result;
  };
  return {
    bytes,
    u32: (address) => new DataView(bytes(address, 4).buffer).getUint32(0, true),
    u64: (address) => new DataView(bytes(address, 8).buffer).getBigUint64(0, true),
  };
}
