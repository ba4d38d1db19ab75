// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { PhysicalAddress } from '../hardware/memory.ts';
import type { Halves, HostMemory, HostPhysical } from '../hardware/vmx.ts';
import { PAGE_BYTES } from './host-allocator.ts';
import type { HostAllocator } from './host-allocator.ts';
import { CHUNK_BYTES } from './l1-memory.ts';
import type { L1Memory } from './l1-memory.ts';

const TWO_32 = 0x1_0000_0000;
/** An entry that refers to a table, or maps a page: read, write, execute. See: SDM 29.3.2 EPT Translation Mechanism. */
const PERMISSIONS = 7;
const WRITE_BACK = 6 << 3;
const PAGE = 1 << 7;
/** Write-back paging structures, four levels. See: SDM 25.6.11 Extended-Page-Table Pointer (EPTP). */
const EPTP_LOW = 6 | (3 << 3);

/** EPT01: L1-physical to host-physical, as the hardware walks it. L1's memory in 2-MiB pages where it can be. */
export class Ept01 {
  readonly pointer: Halves;
  readonly #root: HostPhysical;
  readonly #memory: HostMemory;
  readonly #allocator: HostAllocator;

  constructor(memory: HostMemory, allocator: HostAllocator, l1: L1Memory) {
    this.#memory = memory;
    this.#allocator = allocator;
    this.#root = allocator.allocate();
    this.pointer = { low: (this.#root | EPTP_LOW) >>> 0, high: Math.floor(this.#root / TWO_32) };
    l1.chunks.forEach((host, chunk) => {
      if (host >= 0) this.#mapChunk(l1, chunk * CHUNK_BYTES);
    });
  }

  /** Maps one 4-KiB page, of whatever is at `host`. The translations of all processors may be stale: INVEPT is the caller's. */
  mapPage(address: PhysicalAddress, host: HostPhysical): void {
    this.#writeEntry(this.#entryAddress(address, 1), host, PERMISSIONS | WRITE_BACK);
  }

  unmapPage(address: PhysicalAddress): void {
    this.#writeEntry(this.#entryAddress(address, 1), 0, 0);
  }

  #mapChunk(l1: L1Memory, address: PhysicalAddress): void {
    if (l1.isWholeChunk(address)) {
      return this.#writeEntry(this.#entryAddress(address, 2), l1.translate(address), PERMISSIONS | WRITE_BACK | PAGE);
    }
    for (let page = address; l1.isRam(page); page += PAGE_BYTES) this.mapPage(page, l1.translate(page));
  }

  /** Where the entry of `level` (1: PTE, 2: PDE) for an address lies; tables on the way are made. */
  #entryAddress(address: PhysicalAddress, level: 1 | 2): HostPhysical {
    let table = this.#root;
    for (let at = 4; at > level; at--) {
      const entry = table + indexAt(address, at) * 8;
      if ((this.#memory.read32(entry) & PERMISSIONS) === 0)
        this.#writeEntry(entry, this.#allocator.allocate(), PERMISSIONS);
      assert((this.#memory.read32(entry) & PAGE) === 0, 'a large page is not split');
      table = (this.#memory.read32(entry + 4) >>> 0) * TWO_32 + ((this.#memory.read32(entry) & ~0xfff) >>> 0);
    }
    return table + indexAt(address, level) * 8;
  }

  #writeEntry(entry: HostPhysical, host: HostPhysical, bits: number): void {
    this.#memory.write32(entry + 4, Math.floor(host / TWO_32));
    this.#memory.write32(entry, (host | bits) >>> 0);
  }
}

/** The nine bits of an address that select an entry at a level. */
function indexAt(address: PhysicalAddress, level: number): number {
  return Math.floor(address / 2 ** (12 + 9 * (level - 1))) % 512;
}
