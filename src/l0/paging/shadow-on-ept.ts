// SPDX-License-Identifier: Apache-2.0
// Shadow-on-EPT: L1 does without EPT and gives L2 page tables that lead to L1-physical addresses. EPT01 goes on from
// there, so vmcs02 needs nothing but EPT01's pointer. What EPT in the hardware changes about PAE paging is here.

import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Halves } from '../../hardware/vmx.ts';
import type { TableMemory } from './ept12-walk.ts';

/** EPTP02 is EPTP01. */
export function shadowOnEptPointer(eptp01: Halves, out: Halves): void {
  out.low = eptp01.low;
  out.high = eptp01.high;
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
