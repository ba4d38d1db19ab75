// SPDX-License-Identifier: Apache-2.0
import { Memory } from '../../src/machine/memory/memory.ts';
import type { Case, Random } from './cases.ts';
import type { Paging, Tables } from './reference.ts';

/** Page tables for one linear address in a few megabytes of memory. */

// prettier-ignore
export const AT = { tables: 0x10000, pages: 0x80000 } as const;
const RAM = 1 << 20;

const INDEX_LOW = { '4-level': [39n, 30n, 21n, 12n], PAE: [21n, 12n], '32-bit': [22n, 12n] } as const;

export class TableMemory implements Tables {
  readonly memory = new Memory(1, RAM, 0xb0000000);

  read(address: bigint): bigint {
    const host = this.memory.host(Number(address));
    return host < 0 ? 0xffff_ffff_ffff_ffffn : this.memory.view.getBigUint64(host, true);
  }
  write(address: bigint, value: bigint, width: 4 | 8): void {
    const host = this.memory.host(Number(address));
    if (width === 8) this.memory.view.setBigUint64(host, value, true);
    else this.memory.view.setUint32(host, Number(value), true);
  }
}

export interface Chain {
  readonly paging: Paging;
  readonly linear: bigint;
  /** The 8 bytes that hold each entry, aligned. */
  readonly entries: readonly bigint[];
}

/** A linear address that is canonical, and any offset. */
export function anyLinear(kind: Case['kind'], random: Random): bigint {
  const low = (BigInt(random.bits(32)) << 32n) | BigInt(random.bits(32));
  return kind === '4-level' ? BigInt.asIntN(48, low) : BigInt.asUintN(32, low);
}

/** Writes the tables of a case; `base` is where the page lies. */
export function writeChain(tables: TableMemory, one: Case, linear: bigint, base: bigint): Chain {
  const width = one.kind === '32-bit' ? 4 : 8;
  const lows = INDEX_LOW[one.kind];
  const places: bigint[] = [];
  one.entries.forEach((flags, n) => {
    const count = width === 8 ? 512n : 1024n;
    const index = (BigInt.asUintN(64, linear) >> lows[n]) % count;
    const place = BigInt(AT.tables + n * 0x1000) + index * BigInt(width);
    const leaf = n === one.entries.length - 1;
    tables.write(place, flags ^ (leaf ? base : BigInt(AT.tables + (n + 1) * 0x1000)), width);
    places.push(place & ~7n);
  });
  const root = BigInt(AT.tables);
  // PAE: the root is a page directory, named by the one of four registers that the address selects.
  const pdptes = [0, 1, 2, 3].map((n) => (n === Number((linear >> 30n) & 3n) ? root | 1n : 0n));
  return { paging: { ...one.paging, cr3: root, pdptes }, linear, entries: places };
}

/** Entries of 32-bit tables share 8 bytes: what lies beside them is cleared. */
export function clearTables(tables: TableMemory): void {
  const start = tables.memory.host(AT.tables);
  tables.memory.u8.fill(0, start, start + 0x4000);
}
