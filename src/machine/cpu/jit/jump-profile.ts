// SPDX-License-Identifier: Apache-2.0
import { JUMP_TABLES, PAGE_SIZE } from '../../memory/layout.ts';
import type { Memory } from '../../memory/memory.ts';
import type { JumpTables } from './region-emitter.ts';
import type { RegionBlock } from './region.ts';

/** Jumps to places unknown to compiled code until its region is compiled again, if there are new ones among them. */
const PATIENCE = [200, 3000, 40_000];
/** A table's entry is a byte. */
const MOST_TARGETS = 200;

interface Profile {
  count: number;
  /** How often it jumped for long without going anywhere new: then nobody asks any more. */
  learned: number;
  /** Places known when its regions were compiled last. */
  compiled: number;
  readonly offsets: Set<number>;
}

/** Where the indirect jumps of compiled code go, and the tables that regions look it up in. */
export class JumpProfile implements JumpTables {
  private readonly memory: Memory;
  private readonly profiles = new Map<number, Profile>();
  private readonly tables = new Map<RegionBlock, number>();
  private readonly unused: number[];

  constructor(memory: Memory) {
    this.memory = memory;
    const { jumpTables } = memory.layout;
    this.unused = Array.from({ length: JUMP_TABLES }, (_, i) => jumpTables + i * PAGE_SIZE);
  }

  learns(record: number): boolean {
    return (this.profiles.get(record)?.learned ?? 0) < PATIENCE.length;
  }

  targetsOf(record: number): readonly number[] {
    return [...(this.profiles.get(record)?.offsets ?? [])];
  }

  /**
   * Compiled code jumped by this record to `offset`, counted from its page (negative or larger: elsewhere). True when
   * it is time to compile its regions again.
   */
  jumped(record: number, offset: number): boolean {
    let profile = this.profiles.get(record);
    if (profile === undefined)
      this.profiles.set(record, (profile = { count: 0, learned: 0, compiled: 0, offsets: new Set() }));
    const { offsets } = profile;
    if (offset >= 0 && offset < PAGE_SIZE && offsets.size < MOST_TARGETS) offsets.add(offset);
    if (++profile.count < (PATIENCE[profile.learned] ?? Infinity)) return false;
    profile.count = 0;
    const again = offsets.size > profile.compiled || ++profile.learned === PATIENCE.length;
    profile.compiled = offsets.size;
    return again;
  }

  table(block: RegionBlock): number {
    const table = this.unused.pop();
    if (table === undefined) return 0;
    this.memory.u8.fill(0, table, table + PAGE_SIZE);
    block.targets.forEach(({ offset }, i) => (this.memory.u8[table + offset] = i + 1));
    this.tables.set(block, table);
    return table;
  }

  /** A region with these blocks is gone. */
  free(blocks: readonly RegionBlock[]): void {
    for (const block of blocks) {
      const table = this.tables.get(block);
      if (table === undefined) continue;
      this.tables.delete(block);
      this.unused.push(table);
    }
  }

  /** Records are gone. */
  forget(blocks: readonly RegionBlock[]): void {
    for (const { last } of blocks) this.profiles.delete(last);
  }
  clear(): void {
    this.profiles.clear();
  }
}
