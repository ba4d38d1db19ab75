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
  /** The L1-physical page, no memory, in whose place the stand-in is mapped: the APIC-access page of vmcs12. -1: none. */
  standInFor: PhysicalAddress;
  /** Flag: a table may map the stand-in. */
  standInMapped: number;
};

export function initialMultiDimensionalState(): MultiDimensionalState {
  const none = (): Float64Array => new Float64Array(ROOTS).fill(-1);
  return {
    keys: none(),
    roots: none(),
    used: new Float64Array(ROOTS),
    entries: 0,
    pages: 0,
    ...{ standInFor: -1, standInMapped: 0 },
  };
}

export interface MultiDimensionalParts {
  readonly processor: RootProcessor;
  readonly memory: HostMemory;
  readonly pages: PageSource;
  /** Tables take at most so many pages; then the one in use begins anew. */
  readonly pageLimit: number;
  readonly l1: SecondStage & TableMemory;
  readonly features: EptFeatures;
  /** A page of L0's for an APIC-access page that is no memory of L1. */
  readonly standIn: HostPhysical;
}

/** The EPT02s of one virtual CPU. INVEPT is about one logical processor, so nothing is shared. */
export class MultiDimensionalPaging {
  readonly state: MultiDimensionalState = initialMultiDimensionalState();
  /** After a violation that was `violation`: what EPT12 permits there, bits 2:0. After `device`: where in L1's space. */
  permissions12 = 0;
  l1Physical: PhysicalAddress = 0;
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
   * The L1-physical page, no memory, that is vmcs12's APIC-access page from now on; -1: none. Only as such may L2 reach the
   * stand-in, so what other entries have mapped goes.
   */
  standInAt(page: PhysicalAddress): void {
    const { state } = this;
    if (page === state.standInFor) return;
    if (state.standInMapped !== 0) this.invalidateAll();
    state.standInMapped = 0;
    state.standInFor = page;
  }

  /**
   * L2 accessed an address that EPT02 does not translate. `qualification`: of the hardware's exit, bits 2:0 say what was
   * wanted. The slot of `eptp12` has been entered.
   */
  violation(eptp12: Halves, address: PhysicalAddress, qualification: number): ViolationOutcome {
    const needed = qualification & 7;
    const slot = this.#slotOf(eptp12);
    const outcome = this.#walk(eptp12, address, needed);
    if (outcome !== EPT12_WALK.ok) {
      // What L1 is told about an address is true from then on: nothing older stays.
      this.#table.unmap(this.state.roots[slot], address);
      this.permissions12 = this.#walker.permissions;
      return outcome === EPT12_WALK.misconfiguration ? 'misconfiguration' : 'violation';
    }
    return this.#fill(eptp12, slot, address);
  }

  /** L1-physical address behind an L2-physical one, as an access of L2 would find it; -1 where EPT12 forbids it. */
  translate(eptp12: Halves, address: PhysicalAddress, needed: number): PhysicalAddress {
    return this.#walk(eptp12, address, needed) === EPT12_WALK.ok ? this.#walker.physical : -1;
  }

  /** INVEPT by L1, single-context: by the address of the table, whatever the pointer's other bits. */
  invalidate(eptp12: Halves): void {
    const table = tableOf(keyOf(eptp12));
    this.state.keys.forEach((key, slot) => {
      if (key >= 0 && tableOf(key) === table) this.#clear(slot);
    });
  }

  /** INVEPT by L1, all contexts; and whenever EPT01 has changed. */
  invalidateAll(): void {
    this.state.keys.forEach((key, slot) => {
      if (key >= 0) this.#clear(slot);
    });
  }

  /** VMXOFF, RESET: all pages go back. */
  releaseAll(): void {
    this.state.keys.forEach((key, slot) => {
      if (key >= 0) this.#drop(slot);
    });
  }

  save(): MultiDimensionalState {
    return copyState(this.state);
  }
  restore(saved: MultiDimensionalState): void {
    restoreState(this.state, saved);
  }

  #walk(eptp12: Halves, address: PhysicalAddress, needed: number): number {
    return this.#walker.walk(tableOf(keyOf(eptp12)), (eptp12.low & EPTP.ACCESSED_DIRTY) !== 0, address, needed);
  }

  /** EPT12 permits it: permissions and size are those that both tables give. */
  #fill(eptp12: Halves, slot: number, address: PhysicalAddress): ViolationOutcome {
    const { l1 } = this.#parts;
    const { physical, permissions, memoryType, dirty } = this.#walker;
    let host = l1.translate(physical);
    let shift = Math.min(this.#walker.shift, l1.isWholeChunk(physical) ? 21 : 12);
    if (host < 0 && physical - (physical % PAGE_BYTES) === this.state.standInFor) {
      host = this.#parts.standIn;
      shift = 12;
      this.state.standInMapped = 1;
    }
    this.l1Physical = physical;
    if (host < 0) return 'device';
    this.#makeRoom(slot);
    // Until the dirty flag of EPT12 is set, a write must come here.
    const granted = (eptp12.low & EPTP.ACCESSED_DIRTY) === 0 || dirty ? permissions : permissions & ~EPT.WRITE;
    this.#table.map(
      this.state.roots[slot],
      address,
      shift === 21 ? 2 : 1,
      host - (host % 2 ** shift),
      granted | memoryType,
    );
    if (this.#table.tablesReleased) this.#forget(slot);
    return 'filled';
  }

  #slotOf(eptp12: Halves): number {
    const slot = this.state.keys.indexOf(keyOf(eptp12));
    assert(slot >= 0, 'L2 runs with an EPT02 that was entered');
    return slot;
  }

  /** A slot with an empty table; the one that was entered longest ago makes way. */
  #newSlot(key: number): number {
    const { state } = this;
    let slot = state.keys.indexOf(-1);
    if (slot < 0) {
      slot = state.used.indexOf(Math.min(...state.used));
      this.#drop(slot);
    }
    state.keys[slot] = key;
    state.roots[slot] = this.#table.newRoot();
    return slot;
  }

  /** Room for one more entry in the table of `slot`: others go first, then what it holds itself. */
  #makeRoom(slot: number): void {
    const { state } = this;
    const full = (): boolean => state.pages + PAGES_FOR_ONE_ENTRY > this.#parts.pageLimit;
    for (let other = 0; other < ROOTS && full(); other++)
      if (other !== slot && state.keys[other] >= 0) this.#drop(other);
    if (full()) this.#clear(slot);
  }

  /** Empties a table; its root stays where it is, since vmcs02 may point to it. */
  #clear(slot: number): void {
    this.#table.clear(this.state.roots[slot]);
    this.#forget(slot);
  }

  #drop(slot: number): void {
    const { state } = this;
    this.#forget(slot);
    this.#table.release(state.roots[slot]);
    state.keys[slot] = state.roots[slot] = -1;
    state.used[slot] = 0;
  }

  /** The hardware forgets what it has read from a table. */
  #forget(slot: number): void {
    const pointer: Halves = { low: 0, high: 0 };
    this.#pointer(slot, pointer);
    this.#parts.processor.invept(1, pointer);
  }

  /** Accessed and dirty flags as in EPTP12: they decide whether a walk of L2's own tables counts as a write. */
  #pointer(slot: number, out: Halves): void {
    const root = this.state.roots[slot];
    const flags = this.state.keys[slot] % 2 === 1 ? EPTP.ACCESSED_DIRTY : 0;
    out.low = (root | EPTP.WRITE_BACK | EPTP.WALK_LENGTH_4 | flags) >>> 0;
    out.high = Math.floor(root / TWO_32);
  }
}

/** The L1-physical address of the table, plus 1 with accessed and dirty flags. Other bits change no translation. */
function keyOf(eptp12: Halves): number {
  return (
    (eptp12.high & 0xfffff) * TWO_32 +
    ((eptp12.low & ~0xfff) >>> 0) +
    ((eptp12.low & EPTP.ACCESSED_DIRTY) === 0 ? 0 : 1)
  );
}

function tableOf(key: number): PhysicalAddress {
  return key - (key % PAGE_BYTES);
}
