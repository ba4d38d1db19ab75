// SPDX-License-Identifier: Apache-2.0

import { assert } from '../base/assert.ts';
import { UserError } from '../base/errors.ts';
import { hex } from '../base/hex.ts';
import type { PhysicalAddress } from '../hardware/memory.ts';
import { EBDA_BASE, FOUR_GIB, ONE_MIB, REGION, type MemoryRegion } from './e820.ts';
import type { MemoryWrite } from './plan.ts';
import { alignDown, alignUp } from './structure.ts';

interface Taken {
  readonly base: number;
  readonly end: number;
  readonly what: string;
}

/** Below this lie the interrupt vectors, the BIOS data area and what old loaders use. */
const FIRST_FREE = 0x1000;
const PAGE = 0x1000;

/** Gives out memory below 4 GiB to the pieces of a boot plan, and keeps their bytes. */
export class MemoryPlacer {
  readonly writes: MemoryWrite[] = [];
  readonly #memory: readonly MemoryRegion[];
  /** Where the PCI hole begins: no amount of memory gives more below 4 GiB. */
  readonly #hole: PhysicalAddress;
  readonly #taken: Taken[] = [];

  constructor(map: readonly MemoryRegion[]) {
    this.#memory = map.filter((region) => region.type === REGION.memory);
    this.#hole = Math.min(
      FOUR_GIB,
      ...map.filter((region) => region.base > ONE_MIB && region.base < FOUR_GIB).map((region) => region.base),
    );
  }

  /** End of the RAM that begins at 1 MiB. */
  get end(): PhysicalAddress {
    const main = this.#memory.find((region) => region.base === ONE_MIB);
    return main === undefined ? ONE_MIB : main.base + main.size;
  }

  /** Takes a range that the kernel chose; UserError if it is not free memory. `size` may exceed `bytes` (then zero). */
  fixed(base: PhysicalAddress, size: number, bytes: Uint8Array, what: string): void {
    const end = base + size;
    const clash = this.#taken.find((other) => base < other.end && other.base < end);
    if (clash !== undefined)
      throw new UserError(`${what} at ${hex(base)} would overlap ${clash.what}`, 'the kernel file is damaged');
    if (!this.#memory.some((region) => base >= region.base && end <= region.base + region.size))
      throw this.#notMemory(base, end, what);
    this.#record(base, size, bytes, what);
  }

  /** The lowest free place in low memory, or else above what is taken. */
  low(bytes: Uint8Array, alignment: number, what: string): PhysicalAddress {
    const base =
      this.#firstFit(FIRST_FREE, EBDA_BASE, bytes.length, alignment) ?? this.#above(bytes.length, alignment, what);
    this.#record(base, bytes.length, bytes, what);
    return base;
  }

  /** The lowest page-aligned place above everything taken above 1 MiB. */
  above(bytes: Uint8Array, what: string): PhysicalAddress {
    const base = this.#above(bytes.length, PAGE, what);
    this.#record(base, bytes.length, bytes, what);
    return base;
  }

  /** The highest page-aligned place that ends at or below `limit`. */
  high(bytes: Uint8Array, limit: PhysicalAddress, what: string): PhysicalAddress {
    const lowest = Math.max(ONE_MIB, ...this.#taken.map((other) => other.end));
    const top = Math.min(limit, this.end);
    const base = alignDown(top - bytes.length, PAGE);
    if (base < lowest) {
      const end = lowest + alignUp(bytes.length, PAGE);
      if (end <= limit) throw this.#noRoom(end, what);
      throw new UserError(
        `${what} (${bytes.length} bytes) does not fit below ${hex(limit)}, the kernel's limit for it`,
        'make it smaller',
      );
    }
    this.#record(base, bytes.length, bytes, what);
    return base;
  }

  /** Claims a range without bytes, for memory that the kernel will use before it looks at the map. */
  claim(base: PhysicalAddress, size: number, what: string): void {
    this.fixed(base, size, new Uint8Array(0), what);
  }

  #above(size: number, alignment: number, what: string): number {
    const base = alignUp(Math.max(ONE_MIB, ...this.#taken.map((other) => other.end)), alignment);
    if (base + size > this.end) throw this.#noRoom(base + size, what);
    return base;
  }

  #firstFit(from: number, to: number, size: number, alignment: number): number | undefined {
    let base = alignUp(from, alignment);
    for (const other of this.#taken.toSorted((a, b) => a.base - b.base)) {
      if (base < other.end && other.base < base + size) base = alignUp(other.end, alignment);
    }
    return base + size <= to ? base : undefined;
  }

  #notMemory(base: number, end: number, what: string): UserError {
    if (base >= ONE_MIB && end <= this.#hole) return tooLittleMemory(end, this.end, what);
    const range = `${hex(base)}..${hex(end - 1)}`;
    return new UserError(
      `${what} belongs at ${range}, which is not memory on a PC`,
      'link the kernel to other addresses',
    );
  }

  #noRoom(end: number, what: string): UserError {
    if (end <= this.#hole) return tooLittleMemory(end, this.end, what);
    return new UserError(
      `${what} does not fit below ${hex(this.#hole)}, where the memory for boot files ends`,
      'make it smaller',
    );
  }

  #record(base: number, size: number, bytes: Uint8Array, what: string): void {
    assert(bytes.length <= size && base + size <= FOUR_GIB, `placement of ${what}`);
    this.#taken.push({ base, end: base + size, what });
    if (bytes.length > 0) this.writes.push({ address: base, bytes, what });
  }
}

/** Memory would have to reach up to `end`. */
export function tooLittleMemory(end: number, present: number, what: string): UserError {
  const [needed, has] = [Math.ceil(end / ONE_MIB), Math.floor(present / ONE_MIB)];
  return new UserError(
    `too little memory: ${what} needs at least ${needed} MiB, the machine has ${has} MiB`,
    `give it more with --memory ${needed}M (-m ${needed}M) or above`,
  );
}
