// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { CODE_TABLE_MODE_SHIFT, REGION_TABLE_ENTRIES, REGION_TABLE_ENTRY_SIZE } from '../../memory/layout.ts';
import type { HostAddress, Memory } from '../../memory/memory.ts';
import type { WasmFunction, WasmTable } from '../../webassembly.ts';

const STEP = 256;

/** The slots of regions: the same in every processor's table, behind its cold functions. */
export class RegionTable {
  private readonly tables: WasmTable[] = [];
  private readonly unused: number[] = [];
  private readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /** Each processor's table, in order, before the first region. */
  attach(table: WasmTable): void {
    assert(this.tables.length === 0 || table.length === this.primary.length, 'tables of one size');
    this.tables.push(table);
  }

  /** What regions call each other through: the slots are the same in all. */
  get primary(): WasmTable {
    return this.tables[0];
  }

  /** Where findRegion looks, unless another region of the same index comes. */
  publish(host: HostAddress, mode: number, slot: number): void {
    const { i32 } = this.memory;
    const at = this.entryOf(host, mode);
    i32[at] = host;
    i32[at + 1] = mode;
    i32[at + 2] = slot;
  }
  withdraw(host: HostAddress, mode: number): void {
    const { i32 } = this.memory;
    const at = this.entryOf(host, mode);
    if (i32[at] === (host | 0) && i32[at + 1] === mode) i32.fill(0, at, at + 3);
  }

  private entryOf(host: HostAddress, mode: number): number {
    const index = (host ^ (host >>> 12) ^ (mode << CODE_TABLE_MODE_SHIFT)) & (REGION_TABLE_ENTRIES - 1);
    return (this.memory.layout.regionTable + index * REGION_TABLE_ENTRY_SIZE) >>> 2;
  }

  add(code: WasmFunction): number {
    const slot = this.unused.pop() ?? this.grow();
    this.replace(slot, code);
    return slot;
  }

  replace(slot: number, code: WasmFunction): void {
    for (const table of this.tables) table.set(slot, code);
  }

  /** Nothing leads here any longer: V8 may drop the module. */
  free(slot: number): void {
    for (const table of this.tables) table.set(slot, null);
    this.unused.push(slot);
  }

  private grow(): number {
    const first = this.primary.length;
    for (const table of this.tables) table.grow(STEP);
    for (let slot = first + STEP - 1; slot > first; slot--) this.unused.push(slot);
    return first;
  }
}
