// SPDX-License-Identifier: Apache-2.0

import type { PhysicalAddress } from '../hardware/memory.ts';
import type { GeneralRegister, InitialState, SegmentName, SegmentState } from './plan.ts';
import { structure } from './structure.ts';

const CR0_PE = 1 << 0;
const CR0_ET = 1 << 4;
const CR0_PG = 2 ** 31;
const CR4_PAE = 1 << 5;
const EFER_LME = 1 << 8;
const EFER_LMA = 1 << 10;
/** Bit 1 is always 1. */
const RFLAGS_FIXED = 1 << 1;

/** Selectors: what Linux calls __BOOT_CS and __BOOT_DS; the other protocols leave the choice to the loader. */
const CODE = 0x10;
const DATA = 0x18;
/** Flat segments: present, accessed, 4 KiB granular. See: SDM 3.4.5 Segment Descriptors. */
// prettier-ignore
const ACCESS_RIGHTS = { code32: 0xc09b, code64: 0xa09b, data: 0xc093, busyTask32: 0x008b, unusable: 0x10000 } as const;

const flat = (selector: number, accessRights: number): SegmentState => ({
  selector,
  base: 0,
  limit: 0xffffffff,
  accessRights,
});

/** The global descriptor table that the segment registers of an entry state were loaded from. */
export function globalDescriptorTable(mode: 32 | 64): Uint8Array {
  return structure([
    ['null', 8, 0],
    ['unused', 8, 0],
    ['code', 8, flatDescriptor(mode === 64 ? ACCESS_RIGHTS.code64 : ACCESS_RIGHTS.code32)],
    ['data', 8, flatDescriptor(ACCESS_RIGHTS.data)],
  ]);
}

/** Base 0, limit 4 GiB. */
function flatDescriptor(accessRights: number): number[] {
  return [0xff, 0xff, 0, 0, 0, accessRights & 0xff, ((accessRights >> 8) & 0xf0) | 0x0f, 0];
}

function segments(mode: 32 | 64): { readonly [Segment in SegmentName]: SegmentState } {
  const data = flat(DATA, ACCESS_RIGHTS.data);
  return {
    es: data,
    cs: flat(CODE, mode === 64 ? ACCESS_RIGHTS.code64 : ACCESS_RIGHTS.code32),
    ss: data,
    ds: data,
    fs: data,
    gs: data,
    ldtr: { selector: 0, base: 0, limit: 0, accessRights: ACCESS_RIGHTS.unusable },
    // See: PVH entry point ABI: TR is a 32-bit TSS with base 0 and limit 0x67; a busy one, see: SDM 27.3.1.2 Checks on Guest Segment Registers.
    tr: { selector: 0, base: 0, limit: 0x67, accessRights: ACCESS_RIGHTS.busyTask32 },
  };
}

const GENERAL: readonly GeneralRegister[] = [
  'rax',
  'rbx',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'rbp',
  'rsp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];

export interface EntryPoint {
  readonly rip: PhysicalAddress;
  /** Where globalDescriptorTable(mode) was placed. */
  readonly gdt: PhysicalAddress;
  /** The others are 0. */
  readonly general: { readonly [Register in GeneralRegister]?: number };
}

function entryState(mode: 32 | 64, entry: EntryPoint): InitialState {
  const general = Object.fromEntries(GENERAL.map((register) => [register, entry.general[register] ?? 0]));
  return {
    rip: entry.rip,
    rflags: RFLAGS_FIXED,
    general: general as InitialState['general'],
    cr0: CR0_PE | CR0_ET,
    cr2: 0,
    cr3: 0,
    cr4: 0,
    efer: 0,
    gdtr: { base: entry.gdt, limit: globalDescriptorTable(mode).length - 1 },
    // The real-mode vectors: no protected-mode table yet, as firmware leaves it.
    idtr: { base: 0, limit: 0x3ff },
    segments: segments(mode),
  };
}

/** 32-bit protected mode, flat, no paging, interrupts off: multiboot, PVH, and Linux's 32-bit protocol. */
export function protectedModeEntry(entry: EntryPoint): InitialState {
  return entryState(32, entry);
}

/** 64-bit mode with the page tables at `pageTables`, interrupts off. */
export function longModeEntry(entry: EntryPoint, pageTables: PhysicalAddress): InitialState {
  return {
    ...entryState(64, entry),
    cr0: CR0_PG + CR0_ET + CR0_PE,
    cr3: pageTables,
    cr4: CR4_PAE,
    efer: EFER_LME | EFER_LMA,
  };
}

const PRESENT_WRITABLE = 0x3;
const LARGE_PAGE = 0x80;
export const IDENTITY_TABLES_BYTES = 6 * 0x1000;

/**
 * Page tables for use at `base` that map the first 4 GiB to themselves with 2 MiB pages (no 1 GiB pages: CPUID may lack them).
 * One PML4, one page-directory-pointer table, four page directories.
 */
export function identityPageTables(base: PhysicalAddress): Uint8Array {
  const bytes = new Uint8Array(IDENTITY_TABLES_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, (base + 0x1000) | PRESENT_WRITABLE, true);
  for (let directory = 0; directory < 4; directory++) {
    view.setUint32(0x1000 + directory * 8, (base + 0x2000 + directory * 0x1000) | PRESENT_WRITABLE, true);
  }
  for (let page = 0; page < 4 * 512; page++) {
    view.setUint32(0x2000 + page * 8, page * 0x200000 + (PRESENT_WRITABLE | LARGE_PAGE), true);
  }
  return bytes;
}
