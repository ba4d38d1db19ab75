// SPDX-License-Identifier: Apache-2.0
// Format of EPT paging-structure entries, in 32-bit halves. See: SDM 29.3.2 EPT Translation Mechanism

import { PHYSICAL_ADDRESS_BITS } from '../mmu/walk.ts';

// prettier-ignore
export const EPT_ENTRY = {
  READ:      1 << 0,
  WRITE:     1 << 1,
  EXECUTE:   1 << 2,
  /** Maps a page: PDPTE 1 GByte, PDE 2 MBytes. */
  PAGE:      1 << 7,
  ACCESSED:  1 << 8,
  DIRTY:     1 << 9,
} as const;
/** An entry is present if any of these is 1. */
export const EPT_PERMISSIONS = 7;

// prettier-ignore
export const EPTP = {
  /** Bits 5:3: page-walk length minus 1. */
  ACCESSED_DIRTY: 1 << 6,
} as const;

/** What of EPT the processor has, from IA32_VMX_EPT_VPID_CAP. */
export interface EptFeatures {
  readonly executeOnly: boolean;
  readonly page1GByte: boolean;
  readonly page2MByte: boolean;
}

/** Address bits 51:MAXPHYADDR, as a mask on the high half. */
const RESERVED_HIGH = 0x000fffff & ~(2 ** (PHYSICAL_ADDRESS_BITS - 32) - 1);
/** Memory types 2, 3 and 7 do not exist. */
const RESERVED_MEMORY_TYPES = (1 << 2) | (1 << 3) | (1 << 7);

/** Whether an entry at this level (4: PML4E .. 1: PTE) maps a page. */
export function mapsPage(low: number, level: number): boolean {
  return level === 1 || ((low & EPT_ENTRY.PAGE) !== 0 && level < 4);
}

/** Whether a present entry is misconfigured. See: SDM 29.3.3.1 EPT Misconfigurations */
export function misconfigured(low: number, high: number, level: number, features: EptFeatures): boolean {
  const readable = (low & EPT_ENTRY.READ) !== 0;
  if (!readable && ((low & EPT_ENTRY.WRITE) !== 0 || !features.executeOnly)) return true;
  if ((high & RESERVED_HIGH) !== 0) return true;
  if (!mapsPage(low, level)) return (low & (level === 4 ? 0xf8 : 0x78)) !== 0;
  if ((RESERVED_MEMORY_TYPES >>> ((low >>> 3) & 7)) & 1) return true;
  if (level === 2) return !features.page2MByte || (low & 0x001ff000) !== 0;
  return level === 3 && (!features.page1GByte || (low & 0x3ffff000) !== 0);
}
