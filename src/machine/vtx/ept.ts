// SPDX-License-Identifier: Apache-2.0
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Memory } from '../memory/memory.ts';
import { EPT_ENTRY, EPT_PERMISSIONS, mapsPage, misconfigured } from './ept-entry.ts';
import type { EptFeatures } from './ept-entry.ts';
import { GuestPhysicalMappings } from './guest-physical-mappings.ts';

/** What a walk came to. */
export const EPT_WALK = { ok: 0, violation: 1, misconfiguration: 2 } as const;

/** `access` bits, as bits 2:0 of an entry and of the exit qualification name them. */
export const EPT_ACCESS = { read: 1, write: 2, fetch: 4 } as const;

/**
 * Walks the extended page tables: guest-physical to machine-physical, with permissions, misconfigurations and the
 * accessed and dirty flags. Results are fields, so that a walk allocates nothing. Memory types do not matter here.
 */
export class EptWalker {
  /** Machine-physical address of the PML4 table. */
  private root: PhysicalAddress = 0;
  /** Accessed and dirty flags are enabled (bit 6 of the EPTP). */
  accessedDirty = false;
  features: EptFeatures = { executeOnly: false, page1GByte: false, page2MByte: true };
  /** Machine-physical address of the byte asked for, after `ok`. */
  physical: PhysicalAddress = 0;
  /** Bits 2:0 of all entries used, and-ed; 0 where one was not present. */
  permissions = 0;
  /** After `ok`: another write needs no walk, since the dirty flag is set or not used. */
  writable = false;
  /** Times the tables were walked, for tests and profiles. */
  walks = 0;
  readonly mappings = new GuestPhysicalMappings();
  private readonly memory: Memory;
  private readonly hosts = new Int32Array(5);

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /** The EPT pointer in use from now on. */
  use(root: PhysicalAddress, accessedDirty: boolean): void {
    this.root = root;
    this.accessedDirty = accessedDirty;
    this.mappings.select(root, accessedDirty);
  }

  /** `needed`: EPT_ACCESS bits that must be permitted; with `write` among them the dirty flag is set. */
  walk(address: PhysicalAddress, needed: number): number {
    const { mappings } = this;
    const offset = address % 0x1000;
    if (mappings.find(address, needed, EPT_ACCESS.write)) {
      this.physical = mappings.page + offset;
      this.permissions = mappings.permissions;
      this.writable = mappings.writable;
      return EPT_WALK.ok;
    }
    this.walks++;
    const outcome = this.walkTables(address, needed);
    if (outcome === EPT_WALK.ok) mappings.keep(address, this.physical - offset, this.permissions, this.writable);
    else mappings.drop(address);
    return outcome;
  }

  private walkTables(address: PhysicalAddress, needed: number): number {
    const { i32 } = this.memory;
    const low = address | 0;
    const high = Math.floor(address / 0x100000000);
    let table = this.root;
    this.permissions = EPT_PERMISSIONS;
    // Bits of the address beyond what four levels translate.
    if (high >= 0x10000) return this.absent();
    for (let level = 4; ; level--) {
      const shift = 12 + (level - 1) * 9;
      const index =
        (shift >= 32 ? high >>> (shift - 32) : (low >>> shift) | (shift > 23 ? high << (32 - shift) : 0)) & 0x1ff;
      const host = this.memory.host(table + index * 8);
      // Where no memory answers, all ones are read: that is misconfigured.
      const entryLow = host < 0 ? -1 : i32[host >>> 2];
      const entryHigh = host < 0 ? -1 : i32[(host >>> 2) + 1];
      if ((entryLow & EPT_PERMISSIONS) === 0) return this.absent();
      if (misconfigured(entryLow, entryHigh, level, this.features)) return EPT_WALK.misconfiguration;
      this.permissions &= entryLow;
      this.hosts[level] = host;
      const base = ((entryLow & ~0xfff) >>> 0) + (entryHigh & 0xfffff) * 0x100000000;
      if (!mapsPage(entryLow, level)) {
        table = base;
        continue;
      }
      if ((this.permissions & needed) !== needed) return EPT_WALK.violation;
      this.finish(low, base, shift, entryLow, level, (needed & EPT_ACCESS.write) !== 0);
      return EPT_WALK.ok;
    }
  }

  private absent(): number {
    this.permissions = 0;
    return EPT_WALK.violation;
  }

  private finish(low: number, base: number, shift: number, entry: number, level: number, write: boolean): void {
    this.physical = base + (low & (2 ** shift - 1));
    this.writable = (this.permissions & EPT_ACCESS.write) !== 0;
    if (!this.accessedDirty) return;
    this.writable &&= write || (entry & EPT_ENTRY.DIRTY) !== 0;
    for (let above = 4; above > level; above--) this.setFlags(this.hosts[above], EPT_ENTRY.ACCESSED);
    this.setFlags(this.hosts[level], write ? EPT_ENTRY.ACCESSED | EPT_ENTRY.DIRTY : EPT_ENTRY.ACCESSED);
  }

  /** See: SDM 29.3.5 Accessed and Dirty Flags for EPT */
  private setFlags(host: number, flags: number): void {
    const { i32 } = this.memory;
    const value = i32[host >>> 2];
    if ((value & flags) === flags) return;
    this.memory.noteWrite(host, 4);
    i32[host >>> 2] = value | flags;
  }
}
