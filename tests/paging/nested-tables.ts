// SPDX-License-Identifier: Apache-2.0
import { ROLES } from './ept-cases.ts';
import type { EptWay, NestedCase, Role } from './ept-cases.ts';
import type { Kind } from './cases.ts';
import type { Ept, Paging } from './reference.ts';

/** Both dimensions of tables of a case, for one linear address, in memory that whoever uses them has. */

// prettier-ignore
export const AT = {
  guestRoot: 0x80000, guestPointers: 0x81000, guestDirectory: 0x82000, guestTable: 0x83000,
  eptRoot: 0x84000, eptPointers: 0x85000, eptCode: 0x86000,
  /** A directory and a table for each tested guest-physical page. */
  eptWays: 0x88000,
  /** Tested pages, 4 KBytes each. */
  pages: 0x340000,
} as const;
const GIBIBYTE = 1n << 30n;
const OFFSET = 0x100n;

/** Where EPT maps a tested page. */
const machineAddress = (role: Role): bigint => BigInt(AT.pages + 0x1000 * ROLES.indexOf(role));
/** Where the access ends if nothing is wrong. */
export const PAGE = machineAddress('page') + OFFSET;
/** CPUID, and more for those who read it. */
const CONTENT = 0x1122_3344_a20fn;
/** Each tested page has a gibibyte of its own; the bits below are those of the machine address, for all page sizes. */
export const guestAddress = (role: Role): bigint =>
  (BigInt(ROLES.indexOf(role)) + 1n) * GIBIBYTE + machineAddress(role);
/** The level whose entries a table holds, by the lowest bit of their index. */
// prettier-ignore
const ROLE_BY_LOW: Readonly<Record<string, Role>> = { 12: 'table', 21: 'directory', 22: 'directory', 30: 'pointers', 39: 'root' };
// prettier-ignore
const LOWS: Readonly<Record<Kind, readonly bigint[]>> = { '4-level': [39n, 30n, 21n, 12n], PAE: [21n, 12n], '32-bit': [22n, 12n] };
// prettier-ignore
const LINEAR_BASE: Readonly<Record<Kind, bigint>> = { '4-level': (5n << 39n) | (2n << 30n), PAE: 3n << 30n, '32-bit': 3n << 30n };

export function linearOf(kind: Kind): bigint {
  return LINEAR_BASE[kind] + PAGE;
}

/** Fetches have a root of their own, and nothing else of the guest is executed; PAE paging has no root in memory. */
function ownRoot(one: NestedCase): boolean {
  return one.what === 'fetch' && one.kind !== 'PAE';
}

export function rootOf(one: NestedCase): bigint {
  if (!ownRoot(one)) return BigInt(AT.guestRoot);
  return guestAddress(one.kind === '4-level' ? 'root' : 'directory');
}

export function pdptesOf(): bigint[] {
  return [BigInt(AT.guestDirectory | 1), 0n, 0n, guestAddress('directory') | 1n];
}

/** What the reference needs to know of the guest. */
export function pagingOf(one: NestedCase): Paging {
  return { ...one.paging, cr3: rootOf(one), pdptes: pdptesOf() };
}

export function eptOf(one: NestedCase, executeOnly: boolean, page1GB: boolean): Ept {
  return { root: BigInt(AT.eptRoot), accessedDirty: one.accessedDirty, executeOnly, page1GB };
}

type Put = (address: bigint | number, value: bigint, width?: 4 | 8) => void;

export class NestedTables {
  /** Places of the tested entries: of the way to each page, and of the guest's. */
  ways: readonly (readonly bigint[])[] = [];
  guest: readonly bigint[] = [];
  private readonly put: Put;

  /** `put` writes 8 bytes, or `width` of them, to where EPT leads. */
  constructor(put: Put) {
    this.put = put;
    // The code and the common tables: 2 MBytes, one to one, with their flags set.
    put(AT.eptRoot, BigInt(AT.eptPointers | 0x107));
    put(AT.eptPointers, BigInt(AT.eptCode | 0x107));
    put(AT.eptCode, 0x3b7n);
  }

  /** Writes both dimensions, and the page. */
  write(one: NestedCase): void {
    this.ways = ROLES.map((role, n) => this.writeWay(one.ways[role], role, n));
    this.writeGuestOnly(one);
  }

  /** Leaves the second dimension as it is, flags and all. */
  writeGuestOnly(one: NestedCase): void {
    this.guest = this.writeGuest(one);
    this.put(PAGE, CONTENT);
  }

  /** Places of all tested entries. */
  get places(): readonly bigint[] {
    return [...this.ways.flat(), ...this.guest];
  }

  private writeGuest(one: NestedCase): bigint[] {
    const width = one.kind === '32-bit' ? 4 : 8;
    const linear = linearOf(one.kind);
    const lows = LOWS[one.kind];
    return one.entries.map((flags, n) => {
      const commonRoot = n === 0 && one.kind !== 'PAE' && !ownRoot(one);
      const table = commonRoot ? BigInt(AT.guestRoot) : machineAddress(ROLE_BY_LOW[Number(lows[n])]);
      const index = (linear >> lows[n]) & (width === 8 ? 0x1ffn : 0x3ffn);
      const place = table + index * BigInt(width);
      const leaf = n === one.entries.length - 1;
      const next = leaf ? (guestAddress('page') >> lows[n]) << lows[n] : guestAddress(ROLE_BY_LOW[Number(lows[n + 1])]);
      this.put(place, flags ^ next, width);
      return place & ~7n;
    });
  }

  private writeWay(way: EptWay, role: Role, n: number): bigint[] {
    const address = guestAddress(role);
    const directory = BigInt(AT.eptWays + n * 0x2000);
    const tables = [BigInt(AT.eptPointers), directory, directory + 0x1000n];
    return way.entries.map((flags, level) => {
      const low = BigInt(30 - 9 * level);
      const place = tables[level] + ((address >> low) & 0x1ffn) * 8n;
      const leaf = level === way.entries.length - 1;
      this.put(place, flags ^ (leaf ? (machineAddress(role) >> low) << low : tables[level + 1]));
      return place;
    });
  }
}
