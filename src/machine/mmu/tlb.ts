// SPDX-License-Identifier: Apache-2.0
import {
  CONTEXT_SPREAD,
  DATA_TLB_ENTRIES,
  DATA_TLB_ENTRY_SIZE,
  DATA_TLB_OFFSET,
  INSTRUCTION_TLB_ENTRIES,
  INSTRUCTION_TLB_ENTRY_SIZE,
  INSTRUCTION_TLB_OFFSET,
  PAGE_SIZE,
  processorArea,
} from '../memory/layout.ts';
import type { HostAddress, Memory } from '../memory/memory.ts';
import { GlobalTranslations } from './global-translations.ts';

/** Context numbers fill the low 12 bits of a tag: space * 4 + class. Context 0 is never used, so a zero tag never hits. */
const SPACES = 1023;
/** Pages of 2 and 4 MiB are remembered by what holds either, pages of 1 GiB by themselves. */
const LARGE_SHIFT = 22;
const HUGE_SHIFT = 30;
/** More entries than one had a write tag for a page. */
const SEVERAL = -1;

/**
 * One processor's translation lookaside buffers, in the WebAssembly memory where the engine's fast path reads them.
 * A space stands for everything but the access class that a translation depends on; invalidating a space is giving
 * its key a new number.
 */
export class TranslationBuffers {
  /** Times everything had to be dropped because the numbers ran out, for tests. */
  wraps = 0;
  /** Grows whenever a space may have got a new number. */
  generation = 0;
  /** Grows whenever a translation may have been dropped: compiled code must not go on as if nothing had happened. */
  changes = 0;
  /** Global pages under the contexts of spaces that leave the PCID out. */
  readonly globals: GlobalTranslations;
  private readonly memory: Memory;
  private readonly data: number;
  private readonly instruction: number;
  private readonly spaces = new Map<string, number>();
  private nextSpace = 1;
  /** 4 MiB and 1 GiB regions of linear addresses that were mapped by large pages: INVLPG there drops the region. */
  private readonly largeRegions = new Set<number>();
  private readonly hugeRegions = new Set<number>();

  /** By host page: which entry (its word index) ever got a write tag for it; 0 for none. */
  private readonly writeTagAt: Int32Array;

  constructor(memory: Memory, processor: number) {
    this.memory = memory;
    this.writeTagAt = new Int32Array(memory.layout.size / PAGE_SIZE);
    this.globals = new GlobalTranslations(memory, processor);
    this.data = processorArea(processor) + DATA_TLB_OFFSET;
    this.instruction = processorArea(processor) + INSTRUCTION_TLB_OFFSET;
  }

  /** The number of a space, allocated when new. */
  space(key: string): number {
    const found = this.spaces.get(key);
    if (found !== undefined) return found;
    this.reserve(1);
    const number = this.nextSpace++;
    this.spaces.set(key, number);
    return number;
  }

  /** Makes sure that the next `count` new spaces get their numbers without a flush between them. */
  reserve(count: number): void {
    if (this.nextSpace + count > SPACES) this.flushAll();
  }

  /** Drops what was cached under the keys for which `affected` holds. */
  forget(affected: (key: string) => boolean): void {
    this.generation++;
    this.changes++;
    for (const key of this.spaces.keys()) if (affected(key)) this.spaces.delete(key);
  }

  flushAll(): void {
    this.memory.i32.fill(0, this.data >>> 2, (this.data + DATA_TLB_ENTRIES * DATA_TLB_ENTRY_SIZE) >>> 2);
    this.memory.i32.fill(
      0,
      this.instruction >>> 2,
      (this.instruction + INSTRUCTION_TLB_ENTRIES * INSTRUCTION_TLB_ENTRY_SIZE) >>> 2,
    );
    this.globals.clear();
    this.spaces.clear();
    this.largeRegions.clear();
    this.hugeRegions.clear();
    this.nextSpace = 1;
    this.generation++;
    this.changes++;
    this.wraps++;
  }

  /** Spreads contexts over the index, so that the same page in two spaces does not fight for one entry. */
  dataHash(context: number): number {
    return (Math.imul(context, CONTEXT_SPREAD) & (DATA_TLB_ENTRIES - 1)) << 5;
  }
  fetchHash(context: number): number {
    return Math.imul(context, CONTEXT_SPREAD) & (INSTRUCTION_TLB_ENTRIES - 1);
  }

  fillData(low: number, high: number, context: number, host: HostAddress, writable: boolean): void {
    const i = this.dataEntry(low, high, context) >>> 2;
    const words = this.memory.i32;
    const tagLow = (low & ~0xfff) | context;
    words[i] = tagLow;
    words[i + 1] = high;
    words[i + 2] = writable ? tagLow : 0;
    words[i + 3] = writable ? high : 0;
    words[i + 4] = (host & ~0xfff) - (low & ~0xfff);
    if (writable) this.noteWriteTag(host >>> 12, i);
  }
  private noteWriteTag(page: number, entry: number): void {
    const known = this.writeTagAt[page];
    if (known === 0) this.writeTagAt[page] = entry;
    else if (known !== entry) this.writeTagAt[page] = SEVERAL;
  }

  /** Host address of the byte when an access of this kind hits, else -1. */
  findData(low: number, high: number, context: number, write: boolean): HostAddress {
    const i = this.dataEntry(low, high, context) >>> 2;
    const words = this.memory.i32;
    const tag = write ? i + 2 : i;
    if (words[tag] !== ((low & ~0xfff) | context) || words[tag + 1] !== high) return -1;
    return (low + words[i + 4]) >>> 0;
  }
  findFetch(low: number, high: number, context: number): HostAddress {
    const i = this.fetchEntry(low, high, context) >>> 2;
    const words = this.memory.i32;
    if (words[i] !== ((low & ~0xfff) | context) || words[i + 1] !== high) return -1;
    return (low + words[i + 2]) >>> 0;
  }

  fillFetch(low: number, high: number, context: number, host: HostAddress): void {
    const i = this.fetchEntry(low, high, context) >>> 2;
    const words = this.memory.i32;
    words[i] = (low & ~0xfff) | context;
    words[i + 1] = high;
    words[i + 2] = (host & ~0xfff) - (low & ~0xfff);
  }

  noteLargePage(low: number, high: number, shift: number): void {
    const page = high * 0x100000000 + (low >>> 0);
    if (shift > LARGE_SHIFT) this.hugeRegions.add(Math.floor(page / 2 ** HUGE_SHIFT));
    else this.largeRegions.add(Math.floor(page / 2 ** LARGE_SHIFT));
  }

  /** One linear page in every space: a global translation may lie in any of them. */
  invalidatePage(low: number, high: number): void {
    this.changes++;
    if (this.dropLargePages(low, high)) return;
    for (const space of this.spaces.values()) {
      for (let context = space * 4; context < space * 4 + 3; context++) {
        this.dropData(low, high, context);
        this.dropFetch(low, high, context);
        this.globals.drop(low, high, context);
      }
    }
  }

  /** Whether the page lay in a region of large pages; then the whole region is dropped. */
  private dropLargePages(low: number, high: number): boolean {
    const page = high * 0x100000000 + (low >>> 0);
    const huge = this.hugeRegions.delete(Math.floor(page / 2 ** HUGE_SHIFT));
    const large = this.largeRegions.delete(Math.floor(page / 2 ** LARGE_SHIFT));
    if (huge) this.dropRegion(low, high, HUGE_SHIFT);
    else if (large) this.dropRegion(low, high, LARGE_SHIFT);
    return huge || large;
  }

  /** A few microseconds: less than filling the buffers again. */
  private dropRegion(low: number, high: number, shift: number): void {
    const words = this.memory.i32;
    const sweep = (start: number, entries: number, size: number): void => {
      for (let i = start >>> 2; i < (start + entries * size) >>> 2; i += size >>> 2)
        if ((words[i] ^ low) >>> shift === 0 && words[i + 1] === high) words.fill(0, i, i + (size >>> 2));
    };
    sweep(this.data, DATA_TLB_ENTRIES, DATA_TLB_ENTRY_SIZE);
    sweep(this.instruction, INSTRUCTION_TLB_ENTRIES, INSTRUCTION_TLB_ENTRY_SIZE);
    this.globals.dropRegion(low, high, shift);
  }

  /** A page got translated code: nobody may write it directly any longer. `host` is the page's host address. */
  dropWriteTags(host: HostAddress): void {
    const at = this.writeTagAt[host >>> 12];
    this.writeTagAt[host >>> 12] = 0;
    if (at !== SEVERAL) return at === 0 ? undefined : this.dropWriteTag(at, host);
    const end = (this.data + DATA_TLB_ENTRIES * DATA_TLB_ENTRY_SIZE) >>> 2;
    for (let i = this.data >>> 2; i < end; i += DATA_TLB_ENTRY_SIZE / 4) this.dropWriteTag(i, host);
  }
  private dropWriteTag(i: number, host: HostAddress): void {
    const words = this.memory.i32;
    if (words[i + 2] !== 0 && ((words[i + 2] + words[i + 4]) ^ host) >>> 12 === 0) words[i + 2] = words[i + 3] = 0;
  }

  private dropData(low: number, high: number, context: number): void {
    const i = this.dataEntry(low, high, context) >>> 2;
    const words = this.memory.i32;
    if (words[i] !== ((low & ~0xfff) | context) || words[i + 1] !== high) return;
    words[i] = words[i + 1] = words[i + 2] = words[i + 3] = 0;
  }

  private dropFetch(low: number, high: number, context: number): void {
    const i = this.fetchEntry(low, high, context) >>> 2;
    const words = this.memory.i32;
    if (words[i] === ((low & ~0xfff) | context) && words[i + 1] === high) words[i] = words[i + 1] = 0;
  }

  private dataEntry(low: number, high: number, context: number): number {
    return this.data + (((low >>> 7) ^ (high << 25) ^ this.dataHash(context)) & ((DATA_TLB_ENTRIES - 1) << 5));
  }
  private fetchEntry(low: number, high: number, context: number): number {
    return (
      this.instruction +
      ((((low >>> 12) ^ (high << 20) ^ this.fetchHash(context)) & (INSTRUCTION_TLB_ENTRIES - 1)) << 4)
    );
  }
}
