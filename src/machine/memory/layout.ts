// SPDX-License-Identifier: Apache-2.0

/**
 * Where things lie in the one 32-bit WebAssembly memory. Addresses in it are "host-physical" for us: what a TLB entry's
 * addend leads to. Guest RAM comes last, so that everything the engine itself needs has small constant addresses.
 */
export const PAGE_SIZE = 4096;

/** Each processor's area: state block, scratch, instruction TLB, TLB of global pages, data TLB. */
const PROCESSOR_AREA_BASE = 0x10000;
export const PROCESSOR_AREA_SIZE = 0x100000;

/** Offsets within a processor's area. */
export const SCRATCH_OFFSET = 0x1000;
export const INSTRUCTION_TLB_OFFSET = 0x10000;
export const GLOBAL_TLB_OFFSET = 0x40000;
export const DATA_TLB_OFFSET = 0x80000;

export const INSTRUCTION_TLB_ENTRIES = 4096;
export const INSTRUCTION_TLB_ENTRY_SIZE = 16;
export const GLOBAL_TLB_ENTRIES = 16384;
export const GLOBAL_TLB_ENTRY_SIZE = 16;
/** 64 MiB of addresses: what a program uses again and again rarely is more. */
export const DATA_TLB_ENTRIES = 16384;
export const DATA_TLB_ENTRY_SIZE = 32;

/** Instruction TLB entry: tag (linear page | context), addend (host-physical minus linear, low 32 bits). */
export const ITLB = { tag: 0, addend: 8 } as const;
/** Data TLB entry. A page that may not be written directly (clean, or holding translated code) has no write tag. */
export const DTLB = { readTag: 0, writeTag: 8, addend: 16 } as const;

/** A context (TLB space and access class) fills the low 12 bits of a tag; its lowest bits are the class. */
export const CONTEXT_CLASS_MASK = 3;
/** Multiplies a context to spread contexts over the index. */
export const CONTEXT_SPREAD = 0x9e5;
/** A context that no entry has: with it every access takes the slow path. */
export const NO_CONTEXT = 0xfff;

/** Translated code: a direct-mapped table from (host address, mode) to the first record of a block. */
export const CODE_TABLE_ENTRIES = 1 << 18;
export const CODE_TABLE_ENTRY_SIZE = 16;
/** Index: host address ^ host address >> 12 ^ mode << this. */
export const CODE_TABLE_MODE_SHIFT = 7;
export const CODE_TABLE = { hostAddress: 0, mode: 4, record: 8 } as const;

/** Bytes for decoded records, unless a machine wants it otherwise; when it is full, all translations are dropped. */
export const RECORD_POOL_SIZE = 96 << 20;

/** Compiled regions by host address and mode: where compiled code finds other compiled code. Indexed as the code table. */
export const REGION_TABLE_ENTRIES = 1 << 14;
export const REGION_TABLE_ENTRY_SIZE = 16;
export const REGION_TABLE = { hostAddress: 0, mode: 4, slot: 8 } as const;

/** Indirect jumps that may have a table at a time. */
export const JUMP_TABLES = 256;

export interface MemoryLayout {
  readonly processors: number;
  readonly codeTable: number;
  readonly recordPool: number;
  readonly recordPoolEnd: number;
  /** Tables of indirect jumps in compiled code, a page each. */
  readonly jumpTables: number;
  readonly regionTable: number;
  readonly ram: number;
  /** Bytes of the whole memory, a multiple of 64 KiB. */
  readonly size: number;
}

/** `recordPoolBytes`: a multiple of 64 KiB. */
export function memoryLayout(
  processors: number,
  ramBytes: number,
  recordPoolBytes: number = RECORD_POOL_SIZE,
): MemoryLayout {
  const codeTable = PROCESSOR_AREA_BASE + processors * PROCESSOR_AREA_SIZE;
  const recordPool = codeTable + CODE_TABLE_ENTRIES * CODE_TABLE_ENTRY_SIZE;
  const recordPoolEnd = recordPool + recordPoolBytes;
  const jumpTables = recordPoolEnd;
  const regionTable = jumpTables + JUMP_TABLES * PAGE_SIZE;
  const ram = Math.ceil((regionTable + REGION_TABLE_ENTRIES * REGION_TABLE_ENTRY_SIZE) / 0x10000) * 0x10000;
  return {
    processors,
    codeTable,
    recordPool,
    recordPoolEnd,
    jumpTables,
    regionTable,
    ram,
    size: ram + Math.ceil(ramBytes / 0x10000) * 0x10000,
  };
}

export function processorArea(index: number): number {
  return PROCESSOR_AREA_BASE + index * PROCESSOR_AREA_SIZE;
}
