// SPDX-License-Identifier: Apache-2.0
import { GLOBAL_TLB_ENTRIES, GLOBAL_TLB_ENTRY_SIZE, GLOBAL_TLB_OFFSET, processorArea } from '../memory/layout.ts';
import type { HostAddress, Memory } from '../memory/memory.ts';

/** What an entry is good for; kinds of one page are learnt one by one. */
export const GLOBAL_KIND = { read: 1, write: 2, fetch: 4 } as const;

/** Words of an entry. */
const ENTRY = { tagLow: 0, tagHigh: 1, addend: 2, kinds: 3 } as const;

/**
 * Global pages once more, under a context without PCID: a new address space finds the kernel here and need not walk.
 * See: SDM 4.10.2.4 Global Pages. It knows nothing of translated code: whoever fills a first-level entry asks again.
 */
export class GlobalTranslations {
  private readonly memory: Memory;
  private readonly first: number;

  constructor(memory: Memory, processor: number) {
    this.memory = memory;
    this.first = (processorArea(processor) + GLOBAL_TLB_OFFSET) >>> 2;
  }

  /** Index of the entry that holds the page in this context, or -1. */
  private find(low: number, high: number, context: number): number {
    const i = this.entry(low, context);
    const words = this.memory.i32;
    return words[i] === ((low & ~0xfff) | context) && words[i + ENTRY.tagHigh] === high ? i : -1;
  }

  /** The kinds of access that hit; 0 when the page is not here. */
  kinds(low: number, high: number, context: number): number {
    const i = this.find(low, high, context);
    return i < 0 ? 0 : this.memory.i32[i + ENTRY.kinds];
  }

  /** Host address of the byte, once `kinds` said that the page is here. */
  host(low: number, context: number): HostAddress {
    return (low + this.memory.i32[this.entry(low, context) + ENTRY.addend]) >>> 0;
  }

  fill(low: number, high: number, context: number, host: HostAddress, kinds: number): void {
    const i = this.entry(low, context);
    const words = this.memory.i32;
    const addend = ((host & ~0xfff) - (low & ~0xfff)) | 0;
    const known = this.find(low, high, context) >= 0 && words[i + ENTRY.addend] === addend;
    words[i] = (low & ~0xfff) | context;
    words[i + ENTRY.tagHigh] = high;
    words[i + ENTRY.addend] = addend;
    words[i + ENTRY.kinds] = known ? words[i + ENTRY.kinds] | kinds : kinds;
  }

  drop(low: number, high: number, context: number): void {
    const i = this.find(low, high, context);
    if (i >= 0) this.memory.i32.fill(0, i, i + GLOBAL_TLB_ENTRY_SIZE / 4);
  }

  /** Drops what lies in one region of linear addresses, 2 ** `shift` bytes (at most 2 ** 30), whatever the context. */
  dropRegion(low: number, high: number, shift: number): void {
    const words = this.memory.i32;
    const size = GLOBAL_TLB_ENTRY_SIZE / 4;
    const end = this.first + GLOBAL_TLB_ENTRIES * size;
    for (let i = this.first; i < end; i += size)
      if ((words[i] ^ low) >>> shift === 0 && words[i + ENTRY.tagHigh] === high) words.fill(0, i, i + size);
  }

  clear(): void {
    this.memory.i32.fill(0, this.first, this.first + (GLOBAL_TLB_ENTRIES * GLOBAL_TLB_ENTRY_SIZE) / 4);
  }

  private entry(low: number, context: number): number {
    const index = ((low >>> 12) ^ Math.imul(context, 0x9e5)) & (GLOBAL_TLB_ENTRIES - 1);
    return this.first + index * (GLOBAL_TLB_ENTRY_SIZE / 4);
  }
}
