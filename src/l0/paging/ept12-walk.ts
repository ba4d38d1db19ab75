// SPDX-License-Identifier: Apache-2.0
// EPT12, as the processor that L1 believes in walks it: in L1's memory, step by step and with the same outcomes.

import type { PhysicalAddress } from '../../hardware/memory.ts';
import {
  EPT,
  EPT_ADDRESS_LIMIT,
  EPT_PERMISSIONS,
  addressIn,
  indexAt,
  mapsPage,
  misconfigured,
  shiftOf,
} from './ept-format.ts';
import type { EptFeatures } from './ept-format.ts';

/** Memory in which tables lie, by physical address; where there is none, all ones are read and nothing is written. */
export interface TableMemory {
  read32(address: PhysicalAddress): number;
  write32(address: PhysicalAddress, value: number): void;
}

export const EPT12_WALK = { ok: 0, violation: 1, misconfiguration: 2 } as const;
export type Ept12Outcome = (typeof EPT12_WALK)[keyof typeof EPT12_WALK];

/** Results are fields, so that a walk allocates nothing. See: SDM 29.3 The Extended Page Table Mechanism (EPT) */
export class Ept12Walker {
  /** After `ok`: the L1-physical address of the byte asked for. */
  physical: PhysicalAddress = 0;
  /** Bits 2:0 of all entries used, and-ed; 0 where one was not present. */
  permissions = 0;
  /** After `ok`: memory type and "ignore PAT" of the entry that maps the page, in place. */
  memoryType = 0;
  /** After `ok`: log2 of the page's size. */
  shift = 12;
  /** After `ok`: the page's dirty flag is set, or is not used. */
  dirty = true;
  readonly #memory: TableMemory;
  readonly #features: EptFeatures;
  readonly #entries = new Float64Array(5);

  constructor(memory: TableMemory, features: EptFeatures) {
    this.#memory = memory;
    this.#features = features;
  }

  /**
   * Translates an L2-physical address. `needed`: the EPT permissions that the access takes; with WRITE among them the
   * dirty flag is set, if flags are enabled. `root`: L1-physical address of the PML4 table.
   */
  walk(root: PhysicalAddress, accessedDirty: boolean, address: PhysicalAddress, needed: number): Ept12Outcome {
    this.permissions = EPT_PERMISSIONS;
    if (address >= EPT_ADDRESS_LIMIT) return this.#absent();
    let table = root;
    for (let level = 4; ; level--) {
      const at = table + indexAt(address, level) * 8;
      const low = this.#memory.read32(at);
      const high = this.#memory.read32(at + 4);
      if ((low & EPT_PERMISSIONS) === 0) return this.#absent();
      if (misconfigured(low, high, level, this.#features)) return EPT12_WALK.misconfiguration;
      this.permissions &= low;
      this.#entries[level] = at;
      if (!mapsPage(low, level)) {
        table = addressIn(low, high);
        continue;
      }
      if ((this.permissions & needed) !== needed) return EPT12_WALK.violation;
      this.#finish(address, low, addressIn(low, high), level);
      if (accessedDirty) this.#setFlags(low, level, (needed & EPT.WRITE) !== 0);
      return EPT12_WALK.ok;
    }
  }

  #absent(): Ept12Outcome {
    this.permissions = 0;
    return EPT12_WALK.violation;
  }

  #finish(address: PhysicalAddress, low: number, base: PhysicalAddress, level: number): void {
    this.shift = shiftOf(level);
    this.physical = base + (address % 2 ** this.shift);
    this.memoryType = low & (EPT.MEMORY_TYPE | EPT.IGNORE_PAT);
    this.dirty = true;
  }

  /** See: SDM 29.3.5 Accessed and Dirty Flags for EPT */
  #setFlags(leaf: number, leafLevel: number, write: boolean): void {
    for (let level = 4; level >= leafLevel; level--) {
      const at = this.#entries[level];
      const wanted = level === leafLevel && write ? EPT.ACCESSED | EPT.DIRTY : EPT.ACCESSED;
      const entry = this.#memory.read32(at);
      if ((entry & wanted) !== wanted) this.#memory.write32(at, (entry | wanted) >>> 0);
    }
    this.dirty = write || (leaf & EPT.DIRTY) !== 0;
  }
}
