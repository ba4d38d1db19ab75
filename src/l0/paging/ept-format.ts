// SPDX-License-Identifier: Apache-2.0
// EPT paging-structure entries in 32-bit halves, as L1 writes them and as L0 does.
// See: SDM 29.3.2 EPT Translation Mechanism, 29.3.3.1 EPT Misconfigurations

import { eptSupports } from '../../arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';

/** Bits of an entry's low half. READ, WRITE and EXECUTE are also bits 2:0 of an EPT violation's qualification. */
// prettier-ignore
export const EPT = {
  READ:         1 << 0,
  WRITE:        1 << 1,
  EXECUTE:      1 << 2,
  /** Bits 5:3. */
  MEMORY_TYPE:  7 << 3,
  IGNORE_PAT:   1 << 6,
  /** Maps a page: PDPTE 1 GByte, PDE 2 MBytes. */
  PAGE:         1 << 7,
  ACCESSED:     1 << 8,
  DIRTY:        1 << 9,
} as const;
/** An entry is present if any of these is 1. */
export const EPT_PERMISSIONS = 7;

/** Bits of the EPTP's low half. See: SDM 25.6.11 Extended-Page-Table Pointer (EPTP) */
// prettier-ignore
export const EPTP = {
  WRITE_BACK:     6,
  WALK_LENGTH_4:  3 << 3,
  ACCESSED_DIRTY: 1 << 6,
} as const;

const TWO_32 = 0x1_0000_0000;
/** Memory types 2, 3 and 7 do not exist. */
const RESERVED_MEMORY_TYPES = (1 << 2) | (1 << 3) | (1 << 7);
/** Address bits that four levels translate. */
export const EPT_ADDRESS_LIMIT = 2 ** 48;

/** What the processor that L1 sees can do with EPT. */
export interface EptFeatures {
  readonly executeOnly: boolean;
  readonly page1GByte: boolean;
  readonly page2MByte: boolean;
  readonly physicalAddressWidth: number;
}

export function eptFeatures(capabilities: VmxCapabilities, physicalAddressWidth: number): EptFeatures {
  return {
    executeOnly: eptSupports(capabilities, 'EXECUTE_ONLY'),
    page1GByte: eptSupports(capabilities, 'PAGE_1GB'),
    page2MByte: eptSupports(capabilities, 'PAGE_2MB'),
    physicalAddressWidth,
  };
}

/** Whether an entry at this level (4: PML4E .. 1: PTE) maps a page. */
export function mapsPage(low: number, level: number): boolean {
  return level === 1 || ((low & EPT.PAGE) !== 0 && level < 4);
}

/** Whether a present entry is misconfigured. */
export function misconfigured(low: number, high: number, level: number, features: EptFeatures): boolean {
  const readable = (low & EPT.READ) !== 0;
  if (!readable && ((low & EPT.WRITE) !== 0 || !features.executeOnly)) return true;
  if ((high & 0x000fffff) >>> (features.physicalAddressWidth - 32) !== 0) return true;
  if (!mapsPage(low, level)) return (low & (level === 4 ? 0xf8 : 0x78)) !== 0;
  if ((RESERVED_MEMORY_TYPES >>> ((low >>> 3) & 7)) & 1) return true;
  if (level === 2) return !features.page2MByte || (low & 0x001ff000) !== 0;
  return level === 3 && (!features.page1GByte || (low & 0x3ffff000) !== 0);
}

/** log2 of what an entry of this level maps. */
export function shiftOf(level: number): number {
  return 3 + 9 * level;
}

/** The nine bits of an address that select an entry at a level. */
export function indexAt(address: number, level: number): number {
  return Math.floor(address / 2 ** shiftOf(level)) % 512;
}

/** The physical address in an entry. */
export function addressIn(low: number, high: number): number {
  return (high & 0xfffff) * TWO_32 + ((low & ~0xfff) >>> 0);
}
