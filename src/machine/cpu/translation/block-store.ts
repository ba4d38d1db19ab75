// SPDX-License-Identifier: Apache-2.0
import { CODE_TABLE, CODE_TABLE_ENTRIES, CODE_TABLE_ENTRY_SIZE, CODE_TABLE_MODE_SHIFT } from '../../memory/layout.ts';
import type { CodeWatcher, HostAddress, Memory } from '../../memory/memory.ts';

/** Told when blocks are dropped: what was compiled of them must go too. */
export interface RegionOwner {
  pageDropped(page: number): void;
  allDropped(): void;
}

interface CodePage {
  readonly blocks: number[];
  /** Keys of the blocks that begin or end in this page and cross into another. */
  readonly crossings: number[];
  /** Bit n: bytes 64n .. 64n+63 hold translated code. */
  granulesLow: number;
  granulesHigh: number;
}

/** A one-instruction block over the end of its page: good as long as the same page follows. */
interface Crossing {
  readonly second: HostAddress;
  readonly record: number;
}

/**
 * Which blocks there are, by host address and mode, and which bytes they were made of: a store to one of these drops
 * what was made of its page. The engine looks into the code table; this refills it.
 */
export class BlockStore implements CodeWatcher {
  readonly codePages: Uint8Array;
  readonly counts = { blocks: 0, pagesDropped: 0 };
  regions: RegionOwner | undefined;
  private readonly memory: Memory;
  private readonly dropWriteTags: (host: HostAddress) => void;
  private readonly pages = new Map<number, CodePage>();
  private readonly blocks = new Map<number, number>();
  private readonly crossings = new Map<number, Crossing>();

  constructor(memory: Memory, dropWriteTags: (host: HostAddress) => void) {
    this.memory = memory;
    this.dropWriteTags = dropWriteTags;
    this.codePages = new Uint8Array(memory.buffer.byteLength >>> 12);
    memory.watch(this);
  }

  /** The first record of the block at a host address (a stub if it is compiled), 0 when there is none. */
  blockAt(host: HostAddress, mode: number): number {
    return this.blocks.get(key(host, mode)) ?? 0;
  }

  /** The same, and the engine will find it by itself. */
  find(host: HostAddress, mode: number): number {
    const record = this.blockAt(host, mode);
    if (record !== 0) this.install(host, mode, record);
    return record;
  }

  /** First records of all blocks of a page, in one mode. */
  blocksOfPage(page: number, mode: number): number[] {
    const keys = this.pages.get(page)?.blocks ?? [];
    return keys.filter((blockKey) => blockKey % MODES === mode).map((blockKey) => this.blocks.get(blockKey) ?? 0);
  }

  crossingAt(host: HostAddress, mode: number): Crossing | undefined {
    return this.crossings.get(key(host, mode));
  }

  /** Whoever looks for the block finds this record from now on. */
  replace(host: HostAddress, mode: number, record: number): void {
    this.blocks.set(key(host, mode), record);
    this.install(host, mode, record);
  }

  remember(host: HostAddress, length: number, mode: number, record: number): void {
    this.replace(host, mode, record);
    this.counts.blocks++;
    this.mark(host, length).blocks.push(key(host, mode));
  }

  /** `first` and `rest`: bytes of the instruction in its two pages. */
  rememberCrossing(host: HostAddress, first: number, rest: number, mode: number, crossing: Crossing): void {
    this.crossings.set(key(host, mode), crossing);
    this.counts.blocks++;
    this.mark(host, first).crossings.push(key(host, mode));
    this.mark(crossing.second, rest).crossings.push(key(host, mode));
  }

  codeWritten(host: HostAddress, length: number): void {
    const page = this.pages.get(host >>> 12);
    if (page === undefined) return;
    const first = (host & 0xfff) >> 6;
    const last = Math.min(63, ((host & 0xfff) + length - 1) >> 6);
    for (let granule = first; granule <= last; granule++) {
      if (((granule < 32 ? page.granulesLow : page.granulesHigh) >>> (granule & 31)) & 1)
        return this.dropPage(host >>> 12, page);
    }
  }

  dropAll(): void {
    const { codeTable, recordPool } = this.memory.layout;
    this.memory.i32.fill(0, codeTable >> 2, recordPool >> 2);
    this.blocks.clear();
    this.crossings.clear();
    this.pages.clear();
    this.codePages.fill(0);
    this.memory.codeGeneration++;
    this.regions?.allDropped();
  }

  private dropPage(number: number, page: CodePage): void {
    const { memory } = this;
    for (const blockKey of page.blocks) this.dropBlock(blockKey);
    for (const crossingKey of page.crossings) this.crossings.delete(crossingKey);
    this.pages.delete(number);
    this.codePages[number] = 0;
    this.counts.pagesDropped++;
    memory.codeGeneration++;
    this.regions?.pageDropped(number);
  }

  private dropBlock(blockKey: number): void {
    const { i32 } = this.memory;
    const record = this.blocks.get(blockKey);
    this.blocks.delete(blockKey);
    if (record === undefined) return;
    const slot = this.slotOf(Math.floor(blockKey / MODES), blockKey % MODES);
    if (i32[slot + (CODE_TABLE.record >> 2)] === record) i32.fill(0, slot, slot + (CODE_TABLE_ENTRY_SIZE >> 2));
  }

  private install(host: HostAddress, mode: number, record: number): void {
    const slot = this.slotOf(host, mode);
    this.memory.i32[slot] = host;
    this.memory.i32[slot + 1] = mode;
    this.memory.i32[slot + 2] = record;
  }

  /** The mode takes part: single steps and blocks of the same code would evict each other. */
  private slotOf(host: HostAddress, mode: number): number {
    const index = (host ^ (host >>> 12) ^ (mode << CODE_TABLE_MODE_SHIFT)) & (CODE_TABLE_ENTRIES - 1);
    return (this.memory.layout.codeTable + index * CODE_TABLE_ENTRY_SIZE) >> 2;
  }

  /** Notes that bytes were read as code; returns their page. */
  private mark(host: HostAddress, length: number): CodePage {
    const number = host >>> 12;
    let page = this.pages.get(number);
    if (page === undefined) {
      page = { blocks: [], crossings: [], granulesLow: 0, granulesHigh: 0 };
      this.pages.set(number, page);
      this.codePages[number] = 1;
      this.dropWriteTags(host);
    }
    const last = Math.min(63, ((host & 0xfff) + length - 1) >> 6);
    for (let granule = (host & 0xfff) >> 6; granule <= last; granule++) {
      if (granule < 32) page.granulesLow |= 1 << granule;
      else page.granulesHigh |= 1 << (granule & 31);
    }
    return page;
  }
}

const MODES = 2048;

function key(host: HostAddress, mode: number): number {
  return host * MODES + mode;
}
