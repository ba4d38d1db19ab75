// SPDX-License-Identifier: Apache-2.0
// One EPT02: a table that the hardware walks for L2, made entry by entry. It holds what has been asked for so far.

import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { HostMemory, HostPhysical } from '../../hardware/vmx.ts';
import { EPT, EPT_PERMISSIONS, addressIn, indexAt, mapsPage } from './ept-format.ts';

const TWO_32 = 0x1_0000_0000;

/** Where pages of tables come from and go to. */
export interface PageSource {
  /** A page of zeroes. */
  allocate(): HostPhysical;
  release(page: HostPhysical): void;
}

/** Pages that a table needs at most for one more entry: one for each level below the root. */
export const PAGES_FOR_ONE_ENTRY = 3;

/** Works on the table with a given root, so that roots can be plain numbers in a saved state. */
export class Ept02Table {
  readonly #memory: HostMemory;
  readonly #pages: PageSource;
  /** Whether the last `map` or `unmap` took a table away: the hardware may remember where it was. */
  tablesReleased = false;

  constructor(memory: HostMemory, pages: PageSource) {
    this.#memory = memory;
    this.#pages = pages;
  }

  /** An empty table. */
  newRoot(): HostPhysical {
    return this.#pages.allocate();
  }

  /**
   * Maps the page around `address` that an entry of `level` (1: 4 KBytes, 2: 2 MBytes, 3: 1 GByte) covers.
   * `bits`: permissions, memory type and "ignore PAT".
   */
  map(root: HostPhysical, address: PhysicalAddress, level: number, host: HostPhysical, bits: number): void {
    this.tablesReleased = false;
    let table = root;
    for (let at = 4; at > level; at--) table = this.#tableBelow(table + indexAt(address, at) * 8, at);
    const entry = table + indexAt(address, level) * 8;
    this.#releaseBelow(entry, level);
    this.#write(entry, host, bits | (level > 1 ? EPT.PAGE : 0));
  }

  /** Takes away whatever maps `address`, of any size. */
  unmap(root: HostPhysical, address: PhysicalAddress): void {
    this.tablesReleased = false;
    let table = root;
    for (let level = 4; ; level--) {
      const entry = table + indexAt(address, level) * 8;
      const low = this.#memory.read32(entry);
      if ((low & EPT_PERMISSIONS) === 0) return;
      if (mapsPage(low, level)) return this.#write(entry, 0, 0);
      table = addressIn(low, this.#memory.read32(entry + 4));
    }
  }

  /** Gives back all tables, the root included. */
  release(root: HostPhysical): void {
    this.#releaseTable(root, 4);
  }

  /** Gives back all tables but the root, which is empty then. */
  clear(root: HostPhysical): void {
    for (let entry = root; entry < root + 512 * 8; entry += 8) {
      if ((this.#memory.read32(entry) & EPT_PERMISSIONS) === 0) continue;
      this.#releaseBelow(entry, 4);
      this.#write(entry, 0, 0);
    }
  }

  /** The table that an entry refers to. A page that the entry mapped makes way for it. */
  #tableBelow(entry: HostPhysical, level: number): HostPhysical {
    const low = this.#memory.read32(entry);
    if ((low & EPT_PERMISSIONS) !== 0 && !mapsPage(low, level)) return addressIn(low, this.#memory.read32(entry + 4));
    const table = this.#pages.allocate();
    this.#write(entry, table, EPT_PERMISSIONS);
    return table;
  }

  #releaseBelow(entry: HostPhysical, level: number): void {
    const low = this.#memory.read32(entry);
    if ((low & EPT_PERMISSIONS) === 0 || mapsPage(low, level)) return;
    this.#releaseTable(addressIn(low, this.#memory.read32(entry + 4)), level - 1);
    this.tablesReleased = true;
  }

  #releaseTable(table: HostPhysical, level: number): void {
    for (let i = 0; i < 512 && level > 1; i++) this.#releaseBelow(table + i * 8, level);
    this.#pages.release(table);
  }

  #write(entry: HostPhysical, host: HostPhysical, bits: number): void {
    this.#memory.write32(entry + 4, Math.floor(host / TWO_32));
    this.#memory.write32(entry, (host | bits) >>> 0);
  }
}
