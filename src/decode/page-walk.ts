// SPDX-License-Identifier: Apache-2.0
// Linear to physical by the page tables in some memory. Pure: writes no accessed or dirty flags, keeps nothing.
// See: SDM Chapter 4 Paging.

/** The memory that holds the page tables. */
export interface WalkMemory {
  /** 4 bytes at a 4-byte aligned physical address, unsigned; all ones where there is no memory. */
  read32(address: number): number;
}

/** What of a processor's state decides about translation. 32-bit values are low halves, signed or not. */
export interface PagingState {
  readonly cr0: number;
  readonly cr3Low: number;
  readonly cr3High: number;
  readonly cr4: number;
  readonly efer: number;
  /** The four registers that PAE paging loads with CR3, low and high halves by turns; empty otherwise. */
  readonly pdptes: readonly number[];
  readonly physicalAddressBits: number;
  /** CPUID shows 1-GByte pages: without them PS in a PDPTE is reserved. */
  readonly gigabytePages: boolean;
}

export interface WalkAccess {
  readonly write: boolean;
  readonly fetch: boolean;
  /** Made at CPL 3, and not one of the processor to its own tables. */
  readonly user: boolean;
  /** RFLAGS.AC = 1: supervisor accesses may reach user pages despite SMAP. */
  readonly alignmentCheck: boolean;
}

/** What a walk came to: where the byte lies, or the error code of the page fault. */
export type WalkResult =
  | {
      readonly physical: number;
      /** log2 of the page's size */ readonly pageShift: number;
      /** Entries used, from the root down: physical addresses of their low halves. */ readonly entries: readonly number[];
    }
  | { readonly errorCode: number };

const CR0 = { WP: 1 << 16, PG: 0x80000000 } as const;
const CR4 = { PSE: 1 << 4, PAE: 1 << 5, SMEP: 1 << 20, SMAP: 1 << 21 } as const;
const EFER = { LMA: 1 << 10, NXE: 1 << 11 } as const;
const ENTRY = { PRESENT: 1, WRITABLE: 2, USER: 4, LARGE: 0x80 } as const;
const NO_EXECUTE = 0x80000000;
/** See: SDM 4.7 Page-Fault Exceptions. */
const PAGE_FAULT_ERROR = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;
const TWO_32 = 0x1_0000_0000;

/** `linear` is a signed Number (canonical), or 0..2^32-1 outside 64-bit mode. */
export function walkPages(memory: WalkMemory, state: PagingState, linear: number, access: WalkAccess): WalkResult {
  if ((state.cr0 & CR0.PG) === 0) return { physical: linear >>> 0, pageShift: 12, entries: [] };
  if ((state.cr4 & CR4.PAE) === 0) return walk32(memory, state, linear >>> 0, access);
  return walkWide(memory, state, linear, access);
}

/** The nine bits of a linear address that select an entry at a level, 1 the lowest. */
function indexAt(linear: number, level: number): number {
  const size = 2 ** (12 + 9 * (level - 1));
  const index = Math.floor(linear / size) % 512;
  return index < 0 ? index + 512 : index;
}

/** 4-level and PAE paging: entries of 8 bytes. */
function walkWide(memory: WalkMemory, state: PagingState, linear: number, access: WalkAccess): WalkResult {
  const long = (state.efer & EFER.LMA) !== 0;
  const entries: number[] = [];
  let table = (state.cr3High % 2 ** 20) * TWO_32 + ((state.cr3Low & ~0xfff) >>> 0);
  let rights = ENTRY.WRITABLE | ENTRY.USER;
  let noExecute = 0;
  let level = 4;
  if (!long) {
    const number = Math.floor(linear / 2 ** 30) % 4;
    const low = state.pdptes[2 * number] ?? 0;
    if ((low & ENTRY.PRESENT) === 0) return fault(0, state, access);
    table = (state.pdptes[2 * number + 1] ?? 0) * TWO_32 + ((low & ~0xfff) >>> 0);
    level = 2;
  }
  for (; ; level--) {
    const address = table + indexAt(linear, level) * 8;
    const low = memory.read32(address);
    const high = memory.read32(address + 4);
    if ((low & ENTRY.PRESENT) === 0) return fault(0, state, access);
    const page = level === 1 || ((low & ENTRY.LARGE) !== 0 && mayBeLarge(state, level));
    if (reservedWide(state, low, high, level, page))
      return fault(PAGE_FAULT_ERROR.present | PAGE_FAULT_ERROR.reserved, state, access);
    entries.push(address);
    rights &= low;
    noExecute |= high & NO_EXECUTE;
    const shift = 12 + 9 * (level - 1);
    const base = (high & 0xfffff) * TWO_32 + ((low & ~0xfff) >>> 0);
    if (!page) table = base;
    else if (!allowed(state, rights, noExecute !== 0, access)) return fault(PAGE_FAULT_ERROR.present, state, access);
    else return { physical: finish(base, linear, shift), pageShift: shift, entries };
  }
}

function mayBeLarge(state: PagingState, level: number): boolean {
  return level === 2 || (level === 3 && state.gigabytePages);
}

function reservedWide(state: PagingState, low: number, high: number, level: number, page: boolean): boolean {
  const noExecute = (state.efer & EFER.NXE) !== 0;
  if (!noExecute && (high & NO_EXECUTE) !== 0) return true;
  const unused = (state.efer & EFER.LMA) !== 0 ? 0 : 0x7ff00000;
  if ((high & (0xfffff | unused)) >>> 0 >= 2 ** (state.physicalAddressBits - 32)) return true;
  if (!page) return (low & ENTRY.LARGE) !== 0;
  // Bit 12 of a large page's entry is its PAT bit.
  return level > 1 && (low & (2 ** (12 + 9 * (level - 1)) - 1) & ~0x1fff) !== 0;
}

/** 32-bit paging: entries of 4 bytes, 4-MiB pages with CR4.PSE. */
function walk32(memory: WalkMemory, state: PagingState, linear: number, access: WalkAccess): WalkResult {
  const directory = ((state.cr3Low & ~0xfff) >>> 0) + (linear >>> 22) * 4;
  const upper = memory.read32(directory);
  if ((upper & ENTRY.PRESENT) === 0) return fault(0, state, access);
  if ((upper & ENTRY.LARGE) !== 0 && (state.cr4 & CR4.PSE) !== 0) {
    // Bits 21:(MAXPHYADDR - 19). See: SDM Table 4-4 Format of a 32-Bit Page-Directory Entry that Maps a 4-MByte Page.
    if ((upper & 0x3fffff) >>> 0 >= 2 ** (Math.min(state.physicalAddressBits, 40) - 19))
      return fault(PAGE_FAULT_ERROR.present | PAGE_FAULT_ERROR.reserved, state, access);
    if (!allowed(state, upper, false, access)) return fault(PAGE_FAULT_ERROR.present, state, access);
    const base = ((upper >>> 13) & 0xff) * TWO_32 + ((upper & 0xffc00000) >>> 0);
    return { physical: base + (linear & 0x3fffff), pageShift: 22, entries: [directory] };
  }
  const address = ((upper & ~0xfff) >>> 0) + ((linear >>> 12) & 0x3ff) * 4;
  const entry = memory.read32(address);
  if ((entry & ENTRY.PRESENT) === 0) return fault(0, state, access);
  if (!allowed(state, upper & entry, false, access)) return fault(PAGE_FAULT_ERROR.present, state, access);
  return { physical: ((entry & ~0xfff) >>> 0) + (linear & 0xfff), pageShift: 12, entries: [directory, address] };
}

function finish(base: number, linear: number, shift: number): number {
  const size = 2 ** shift;
  const offset = linear % size;
  return base - (base % size) + (offset < 0 ? offset + size : offset);
}

/** See: SDM 4.6 Access Rights. */
function allowed(state: PagingState, rights: number, noExecute: boolean, access: WalkAccess): boolean {
  const userPage = (rights & ENTRY.USER) !== 0;
  if (access.user && !userPage) return false;
  if (access.fetch) return !noExecute && !(userPage && !access.user && (state.cr4 & CR4.SMEP) !== 0);
  if (userPage && !access.user && (state.cr4 & CR4.SMAP) !== 0 && !access.alignmentCheck) return false;
  if (!access.write || (rights & ENTRY.WRITABLE) !== 0) return true;
  return !access.user && (state.cr0 & CR0.WP) === 0;
}

function fault(code: number, state: PagingState, access: WalkAccess): WalkResult {
  const tellsFetch = (state.cr4 & CR4.SMEP) !== 0 || ((state.cr4 & CR4.PAE) !== 0 && (state.efer & EFER.NXE) !== 0);
  const { write, user, fetch } = PAGE_FAULT_ERROR;
  return {
    errorCode: code | (access.write ? write : 0) | (access.user ? user : 0) | (access.fetch && tellsFetch ? fetch : 0),
  };
}
