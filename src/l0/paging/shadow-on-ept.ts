// SPDX-License-Identifier: Apache-2.0
// Shadow-on-EPT: L1 does without EPT and gives L2 page tables that lead to L1-physical addresses. EPT01 goes on from
// there, so vmcs02 needs little but EPT01's pointer. What EPT in the hardware changes about PAE paging is here.

import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Halves, HostPhysical, RootProcessor } from '../../hardware/vmx.ts';
import type { Ept01 } from '../ept01.ts';
import { PAGE_BYTES } from '../host-allocator.ts';
import type { TableMemory } from './ept12-walk.ts';

const NO_PAGE = -1;

/** EPTP02 is EPTP01. */
export function shadowOnEptPointer(eptp01: Halves, out: Halves): void {
  out.low = eptp01.low;
  out.high = eptp01.high;
}

/**
 * EPT01 for an L2 with an APIC-access page of vmcs12's: the hardware compares with that one, and not with L0's. So L1's
 * local APIC is not mapped, and what L2 does there is a violation; vmcs12's page is, if it is no memory, its stand-in.
 */
export class Ept01WithoutApic {
  readonly #ept: Ept01;
  readonly #processor: RootProcessor;
  readonly #standIn: HostPhysical;
  /** The page that the stand-in is mapped at, NO_PAGE for none: all there is to save, the tables are memory. */
  standsInFor: PhysicalAddress = NO_PAGE;

  /** `ept`: with L1's memory, and nothing else. */
  constructor(ept: Ept01, processor: RootProcessor, standIn: HostPhysical) {
    this.#ept = ept;
    this.#processor = processor;
    this.#standIn = standIn;
  }

  /** Its pointer, for an APIC-access page that is memory of L1, or (`isRam` is false) is not. */
  enter(accessPage: PhysicalAddress, isRam: boolean, out: Halves): void {
    const wanted = isRam ? NO_PAGE : accessPage - (accessPage % PAGE_BYTES);
    if (wanted !== this.standsInFor) {
      if (this.standsInFor >= 0) this.#ept.unmapPage(this.standsInFor);
      if (wanted >= 0) this.#ept.mapPage(wanted, this.#standIn);
      this.standsInFor = wanted;
      this.#processor.invept(1, this.#ept.pointer);
    }
    shadowOnEptPointer(this.#ept.pointer, out);
  }
}

/**
 * With EPT the hardware takes the page-directory-pointer entries from vmcs02; L2, entered without EPT, has them in memory
 * at CR3. See: SDM 27.3.2.4 Loading Page-Directory-Pointer-Table Entries
 */
export function readPdpte(l1: TableMemory, cr3Low: number, index: number, out: Halves): void {
  const entry: PhysicalAddress = ((cr3Low & ~0x1f) >>> 0) + 8 * index;
  out.low = l1.read32(entry) >>> 0;
  out.high = l1.read32(entry + 4) >>> 0;
}
