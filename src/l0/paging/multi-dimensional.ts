// SPDX-License-Identifier: Apache-2.0
// Multi-dimensional paging: EPT02 = EPT12 ∘ EPT01, from L2-physical to host-physical in the one table that hardware has.
// EPT02 is a TLB of EPT12: filled by violations, dropped by INVEPT, one for each EPTP12. EPT12 is not write-protected:
// weaker permissions are L1's to make known by INVEPT, stronger ones are found by the next violation.

import { assert } from '../../base/assert.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Halves, HostMemory, HostPhysical, RootProcessor } from '../../hardware/vmx.ts';
import { copyState, restoreState } from '../../devices/bus-state.ts';
import { EPT, EPTP } from './ept-format.ts';
import type { EptFeatures } from './ept-format.ts';
import { EPT12_WALK, Ept12Walker } from './ept12-walk.ts';
import type { TableMemory } from './ept12-walk.ts';
import { Ept02Table, PAGES_FOR_ONE_ENTRY } from './ept02.ts';
import type { PageSource } from './ept02.ts';

const TWO_32 = 0x1_0000_0000;
const PAGE_BYTES = 0x1000;
/** EPTP12s whose EPT02 is kept: hypervisors that switch between a few find them again. */
const ROOTS = 8;

/** EPT01 as the composition sees it. */
export interface SecondStage {
  /** Host-physical address of a byte of L1's memory; -1 where L1 has a device or nothing. */
  translate(address: PhysicalAddress): HostPhysical;
  /** Whether the aligned 2 MBytes around an address lie together in the machine's memory. */
  isWholeChunk(address: PhysicalAddress): boolean;
}

/** What became of an EPT violation of L2. See paper.md 3.3: the four outcomes. */
export type ViolationOutcome = 'filled' | 'violation' | 'misconfiguration' | 'device';

export type MultiDimensionalState = {
  /** EPTP12 of each slot: its table's L1-physical address, plus the accessed-and-dirty bit; -1: the slot is free. */
  keys: Float64Array;
  /** Host-physical address of each slot's EPT02; -1: none. */
  roots: Float64Array;
  /** When each slot was last entered, in entries. */
  used: Float64Array;
  entries: number;
  /** Pages that all the tables take together. */
  pages: number;
};

export function initialMultiDimensionalState(): MultiDimensionalState {
  const none = (): Float64Array => new Float64Array(ROOTS).fill(-1);
  return { keys: none(), roots: none(), used: new Float64Array(ROOTS), entries: 0, pages: 0 };
}

export interface MultiDimensionalParts {
  readonly processor: RootProcessor;
  readonly memory: HostMemory;
  readonly pages: PageSource;
  /** Tables take at most so many pages; then the one in use begins anew. */
  readonly pageLimit: number;
  readonly l1: SecondStage & TableMemory;
  readonly features: EptFeatures;
}

/** The EPT02s of one virtual CPU. INVEPT is about one logical processor, so nothing is shared. */
export class MultiDimensionalPaging {
  readonly state: MultiDimensionalState = initialMultiDimensionalState();
  /** After a violation that was `violation`: what EPT12 permits there, bits 2:0. After `device`: where in L1's space. */
  permissions12 = 0;
  l1Physical: PhysicalAddress = 0;
  /** An L1-physical page that is no memory, and what stands in for it: the APIC-access page of vmcs12. -1: none. */
  standInFor: PhysicalAddress = -1;
  standIn: HostPhysical = -1;
  readonly #parts: MultiDimensionalParts;
  readonly #walker: Ept12Walker;
  readonly #table: Ept02Table;

  constructor(parts: MultiDimensionalParts) {
    this.#parts = parts;
    this.#walker = new Ept12Walker(parts.l1, parts.features);
    const { pages } = parts;
    this.#table = new Ept02Table(parts.memory, {
      allocate: () => {
        this.state.pages++;
        return pages.allocate();
      },
      release: (page) => {
        this.state.pages--;
        pages.release(page);
      },
    });
  }

  /** EPTP02 for an EPTP12: of the table that is already there, or of an empty one. */
  enter(eptp12: Halves, out: Halves): void {
    const { state } = this;
    const key = keyOf(eptp12);
    let slot = state.keys.indexOf(key);
    if (slot < 0) slot = this.#newSlot(key);
    state.used[slot] = ++state.entries;
    this.#pointer(slot, out);
  }

  /**
   * L2 accessed an address that EPT02 does not translate. `qualification`: of the hardware's exit, bits 2:0 say what was
   * wanted. The slot of `eptp12` has been entered.
   */
  violation(eptp12: Halves, address: PhysicalAddress, qualification: number): ViolationOutcome {
    const needed = qualification & 7;
    const root = this.#rootOf(eptp12);
    const outcome = this.#walk(eptp12, address, needed);
    if (outcome !== EPT12_WALK.ok) {
      // What L1 is told about an address is true from then on: nothing older stays.
      this.#table.unmap(root, address);
      this.permissions12 = this.#walker.permissions;
      return outcome === EPT12_WALK.misconfiguration ? 'misconfiguration' : 'violation';
    }
    return this.#fill(eptp12, root, address);
  }

  /** L1-physical address behind an L2-physical one, as an access of L2 would find it; -1 where EPT12 forbids it. */
  translate(eptp12: Halves, address: PhysicalAddress, needed: number): PhysicalAddress {
    return this.#walk(eptp12, address, needed) === EPT12_WALK.ok ? this.#walker.physical : -1;
  }

  /** INVEPT by L1, single-context: by the address of the table, whatever its other bits. */
  invalidate(eptp12: Halves): void {
    const root = keyOf(eptp12) & ~1;
    this.state.keys.forEach((key, slot) => {
      if (key >= 0 && tableOf(key) === tableOf(keyOf({ low: (eptp12.low & ~EPTP.ACCESSED_DIRTY) >>> 0, high: eptp12.high }))) this.#drop(slot);
    });
    void root;
  }

  /** INVEPT by L1, all contexts; VMXOFF; and whenever EPT01 has changed. */
  invalidateAll(): void {
    for (let slot = 0; slot < ROOTS; slot++) this.#drop(slot);
  }

  save(): MultiDimensionalState {
    return copyState(this.state);
  }
  restore(saved: MultiDimensionalState): void {
    restoreState(this.state, saved);
  }
}
