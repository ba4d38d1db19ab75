// SPDX-License-Identifier: Apache-2.0
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Memory } from '../memory/memory.ts';

/** Bits of a page-table entry, low half. See: SDM 4.5.5 Paging-Structure Entries. */
const PRESENT = 1;
const WRITABLE = 2;
const USER = 4;
const ACCESSED = 0x20;
const DIRTY = 0x40;
const PAGE_SIZE_BIT = 0x80;
const GLOBAL = 0x100;

/** Page-fault error code. See: SDM 4.7 Page-Fault Exceptions. */
export const PF = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;

/** What paging depends on, worked out when control registers change. */
export interface PagingMode {
  /** 0: paging off; 2: 32-bit; 3: PAE; 4: 4-level. */
  levels: 0 | 2 | 3 | 4;
  /** Guest-physical address of the root table. */
  root: PhysicalAddress;
  pageSizeExtension: boolean;
  /** CPUID shows 1-GByte pages: without them PS in a PDPTE is reserved. */
  gigabytePages: boolean;
  noExecute: boolean;
  writeProtect: boolean;
  smep: boolean;
  smap: boolean;
  globals: boolean;
  /** Page-directory-pointer entries of PAE paging, loaded with CR3: low and high halves. */
  pdpte: Int32Array;
}

/**
 * The second dimension: guest-physical to machine-physical, when EPT is on. Returns the machine-physical address, or
 * -1 after recording a VM exit. `structure` says that the access is one of the walk itself.
 */
export interface SecondLevel {
  /** A walk for this linear address begins: an EPT violation reports it. */
  begin(low: number, high: number, fetch: boolean): void;
  /** The walk ended without a guest-physical address: a page fault. */
  end(): void;
  /** False: what the last translation gave holds for this access only, and no TLB may keep it. */
  readonly lastCacheable: boolean;
  translate(address: PhysicalAddress, write: boolean, fetch: boolean, structure: boolean): PhysicalAddress;
  /** Write permission of the last translation, so that a read may already leave a write tag. */
  readonly lastWritable: boolean;
  /** The walk has to set a flag in the entry translated last, which is not writable: records the VM exit. */
  refuseFlags(address: PhysicalAddress): void;
}

/** What kind of access asks: the class decides which permission rules hold. */
export const CLASS = { supervisor: 0, supervisorSmap: 1, user: 2 } as const;

/** Outcome of a walk that failed: a page fault with this error code, or a VM exit already recorded. */
export const WALK = { ok: 0, pageFault: 1, exit: 2 } as const;

/**
 * Walks page tables over 32-bit halves; results are fields, so that a walk allocates nothing.
 * Accessed and dirty bits are set on the way, as a processor does.
 */
export class PageWalker {
  /** Guest-physical address of the byte asked for. */
  physical: PhysicalAddress = 0;
  errorCode = 0;
  /** Whether the page may be written by this class without another walk: writable, and dirty already. */
  writable = false;
  global = false;
  /** log2 of the page's size. */
  pageShift = 12;
  secondLevel: SecondLevel | undefined;
  private readonly memory: Memory;
  private low = 0;
  private high = 0;
  private entryHost = 0;
  /** Flags may be set in the entry read last. */
  private entryWritable = true;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /** `low`, `high`: the linear address, canonical (or below 4 GiB outside 64-bit mode). */
  walk(mode: PagingMode, low: number, high: number, write: boolean, fetch: boolean, accessClass: number): number {
    if (mode.levels === 0) {
      this.physical = low >>> 0;
      this.writable = true;
      this.global = false;
      this.pageShift = 32;
      return WALK.ok;
    }
    return mode.levels === 2
      ? this.walk32(mode, low, write, fetch, accessClass)
      : this.walkWide(mode, low, high, write, fetch, accessClass);
  }

  private walkWide(
    mode: PagingMode,
    low: number,
    high: number,
    write: boolean,
    fetch: boolean,
    accessClass: number,
  ): number {
    let rights = WRITABLE | USER;
    let noExecute = 0;
    let table = mode.root;
    let level: number = mode.levels;
    const hosts = this.hosts;
    if (level === 3) {
      const index = low >>> 30;
      const entry = mode.pdpte[index * 2];
      if ((entry & PRESENT) === 0) return this.fault(0, mode, write, fetch, accessClass);
      table = ((entry & ~0xfff) >>> 0) + (mode.pdpte[index * 2 + 1] & 0xfffff) * 0x100000000;
      level = 2;
    }
    for (; ; level--) {
      const shift = 12 + (level - 1) * 9;
      const index =
        shift >= 32
          ? (high >>> (shift - 32)) & 0x1ff
          : ((low >>> shift) | (shift > 23 ? high << (32 - shift) : 0)) & 0x1ff;
      const address = table + index * 8;
      if (!this.readEntry(address)) return WALK.exit;
      const entryLow = this.low;
      const entryHigh = this.high;
      hosts[level] = this.entryHost;
      if ((entryLow & PRESENT) === 0) return this.fault(0, mode, write, fetch, accessClass);
      const leaf =
        level === 1 || ((entryLow & PAGE_SIZE_BIT) !== 0 && (level === 2 || (level === 3 && mode.gigabytePages)));
      if (this.reservedBits(mode, entryLow, entryHigh, level, leaf))
        return this.fault(PF.present | PF.reserved, mode, write, fetch, accessClass);
      rights &= entryLow;
      noExecute |= entryHigh & 0x80000000;
      if (!leaf) {
        if (!this.mayFlag(entryLow, ACCESSED, address)) return WALK.exit;
        table = ((entryLow & ~0xfff) >>> 0) + (entryHigh & 0xfffff) * 0x100000000;
        continue;
      }
      if (!this.allowed(mode, rights, noExecute, write, fetch, accessClass))
        return this.fault(PF.present, mode, write, fetch, accessClass);
      if (!this.mayFlag(entryLow, write ? ACCESSED | DIRTY : ACCESSED, address)) return WALK.exit;
      this.setAccessed(hosts, level, mode.levels === 3 ? 2 : mode.levels, write);
      return this.finish(mode, rights, low, entryLow, entryHigh, shift, write, accessClass);
    }
  }

  private readonly hosts = new Int32Array(5);

  private finish(
    mode: PagingMode,
    rights: number,
    low: number,
    entryLow: number,
    entryHigh: number,
    shift: number,
    write: boolean,
    accessClass: number,
  ): number {
    const offset = shift === 12 ? low & 0xfff : low & (2 ** shift - 1);
    const base = ((entryLow & ~0xfff) >>> 0) + (entryHigh & 0xfffff) * 0x100000000;
    this.physical = (shift === 12 ? base : base - (base % 2 ** shift)) + offset;
    this.writable = (write || (entryLow & DIRTY) !== 0) && this.mayWrite(mode, rights, accessClass);
    this.global = mode.globals && (entryLow & GLOBAL) !== 0;
    this.pageShift = shift;
    return WALK.ok;
  }

  private mayWrite(mode: PagingMode, rights: number, accessClass: number): boolean {
    return (rights & WRITABLE) !== 0 || (accessClass !== CLASS.user && !mode.writeProtect);
  }

  /** See: SDM 4.6.1 Determination of Access Rights. */
  private allowed(
    mode: PagingMode,
    rights: number,
    noExecute: number,
    write: boolean,
    fetch: boolean,
    accessClass: number,
  ): boolean {
    const userPage = (rights & USER) !== 0;
    if (accessClass === CLASS.user) {
      if (!userPage) return false;
    } else if (userPage) {
      if (fetch ? mode.smep : mode.smap && accessClass === CLASS.supervisorSmap) return false;
    }
    if (fetch) return !(mode.noExecute && noExecute !== 0);
    return !write || this.mayWrite(mode, rights, accessClass);
  }

  private reservedBits(mode: PagingMode, low: number, high: number, level: number, leaf: boolean): boolean {
    if ((high & (mode.levels === 3 ? 0x7ff00000 | RESERVED_HIGH : RESERVED_HIGH)) !== 0) return true;
    if ((high & 0x80000000) !== 0 && !mode.noExecute) return true;
    if (level > 2 && !leaf) return (low & PAGE_SIZE_BIT) !== 0;
    if (leaf && level === 2) return (low & 0x1fe000) !== 0;
    return leaf && level === 3 ? (low & 0x3fffe000) !== 0 : false;
  }

  private setAccessed(hosts: Int32Array, leafLevel: number, top: number, write: boolean): void {
    for (let level = top; level >= leafLevel; level--) {
      const wanted = level === leafLevel && write ? ACCESSED | DIRTY : ACCESSED;
      this.setBits(hosts[level], wanted);
    }
  }

  private setBits(host: number, wanted: number): void {
    const index = host >>> 2;
    const value = this.memory.i32[index];
    if ((value & wanted) === wanted) return;
    this.memory.noteWrite(host, 4);
    this.memory.i32[index] = value | wanted;
  }

  /** Whether the flags that the walk needs are set in this entry, or can be. False: the VM exit is recorded. */
  private mayFlag(entryLow: number, wanted: number, address: PhysicalAddress): boolean {
    if (this.entryWritable || (entryLow & wanted) === wanted) return true;
    this.secondLevel?.refuseFlags(address);
    return false;
  }

  private walk32(mode: PagingMode, low: number, write: boolean, fetch: boolean, accessClass: number): number {
    const directoryAddress = mode.root + (low >>> 22) * 4;
    if (!this.readEntry32(directoryAddress)) return WALK.exit;
    const directory = this.low;
    const hosts = this.hosts;
    hosts[2] = this.entryHost;
    if ((directory & PRESENT) === 0) return this.fault(0, mode, write, fetch, accessClass);
    if ((directory & PAGE_SIZE_BIT) !== 0 && mode.pageSizeExtension)
      return this.large32(mode, directory, directoryAddress, low, write, fetch, accessClass);
    if (!this.mayFlag(directory, ACCESSED, directoryAddress)) return WALK.exit;
    const address = ((directory & ~0xfff) >>> 0) + ((low >>> 12) & 0x3ff) * 4;
    if (!this.readEntry32(address)) return WALK.exit;
    const entry = this.low;
    hosts[1] = this.entryHost;
    if ((entry & PRESENT) === 0) return this.fault(0, mode, write, fetch, accessClass);
    const rights = directory & entry;
    if (!this.allowed(mode, rights, 0, write, fetch, accessClass))
      return this.fault(PF.present, mode, write, fetch, accessClass);
    if (!this.mayFlag(entry, write ? ACCESSED | DIRTY : ACCESSED, address)) return WALK.exit;
    this.setAccessed(hosts, 1, 2, write);
    return this.finish(mode, rights, low, entry, 0, 12, write, accessClass);
  }

  /** 4-MByte page with PSE-36: bits 19:13 of the entry are address bits 38:32. See: SDM Table 4-4 Format of a 32-Bit PDE that Maps a 4-MByte Page. */
  private large32(
    mode: PagingMode,
    entry: number,
    address: PhysicalAddress,
    low: number,
    write: boolean,
    fetch: boolean,
    accessClass: number,
  ): number {
    if ((entry & RESERVED_PSE36) !== 0) return this.fault(PF.present | PF.reserved, mode, write, fetch, accessClass);
    if (!this.allowed(mode, entry, 0, write, fetch, accessClass))
      return this.fault(PF.present, mode, write, fetch, accessClass);
    if (!this.mayFlag(entry, write ? ACCESSED | DIRTY : ACCESSED, address)) return WALK.exit;
    this.setAccessed(this.hosts, 2, 2, write);
    const high = (entry >>> 13) & 0xff;
    return this.finish(mode, entry, low, entry & 0xffc00fff, high, 22, write, accessClass);
  }

  private fault(code: number, mode: PagingMode, write: boolean, fetch: boolean, accessClass: number): number {
    const fetchBit = fetch && (mode.smep || (mode.noExecute && mode.levels > 2)) ? PF.fetch : 0;
    this.errorCode = code | (write ? PF.write : 0) | (accessClass === CLASS.user ? PF.user : 0) | fetchBit;
    return WALK.pageFault;
  }

  private readEntry(address: PhysicalAddress): boolean {
    const host = this.entryAddress(address);
    if (host === NO_ACCESS) return false;
    this.entryHost = host;
    this.low = host < 0 ? -1 : this.memory.i32[host >>> 2];
    this.high = host < 0 ? -1 : this.memory.i32[(host >>> 2) + 1];
    return true;
  }

  private readEntry32(address: PhysicalAddress): boolean {
    const host = this.entryAddress(address);
    if (host === NO_ACCESS) return false;
    this.entryHost = host;
    this.low = host < 0 ? -1 : this.memory.i32[host >>> 2];
    return true;
  }

  private entryAddress(address: PhysicalAddress): number {
    if (this.secondLevel === undefined) {
      this.entryWritable = true;
      return this.memory.host(address);
    }
    const machine = this.secondLevel.translate(address, false, false, true);
    this.entryWritable = this.secondLevel.lastWritable;
    return machine < 0 ? NO_ACCESS : this.memory.host(machine);
  }
}

const NO_ACCESS = -2;
/** Physical-address bits 51:MAXPHYADDR, as a mask on the high half; MAXPHYADDR is 39. */
export const PHYSICAL_ADDRESS_BITS = 39;
/** A 4-MByte page's entry: bits 21:(MAXPHYADDR - 19). */
const RESERVED_PSE36 = 0x3fffff & ~(2 ** (PHYSICAL_ADDRESS_BITS - 19) - 1);
const RESERVED_HIGH = 0x000fffff & ~(2 ** (PHYSICAL_ADDRESS_BITS - 32) - 1);
