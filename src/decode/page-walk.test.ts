// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Memory } from '../machine/memory/memory.ts';
import { CLASS, PHYSICAL_ADDRESS_BITS, PageWalker, WALK } from '../machine/mmu/walk.ts';
import type { PagingMode } from '../machine/mmu/walk.ts';
import { walkPages } from './page-walk.ts';
import type { PagingState } from './page-walk.ts';

const MIB = 1 << 20;
const memory = new Memory(1, MIB, 0xb0000000);
const walker = new PageWalker(memory);
const reader = {
  read32: (address: number): number =>
    memory.host(address) < 0 ? 0xffffffff : memory.view.getUint32(memory.host(address), true),
};

const FIRST_TABLE = 0x1000;
const TABLES = 7;
const ROOT = FIRST_TABLE;

/** Entries that more often than not lead on, with every bit that matters taking part. */
const wideEntry = fc
  .tuple(fc.integer({ min: 1, max: TABLES }), fc.nat(0xfff), fc.nat(15), fc.nat(60))
  .map(([table, low, rare, high]) => {
    const present = rare === 0 ? 0n : 1n;
    const bits = BigInt(low & 0x1e6) & (rare < 12 ? ~0x80n : ~0n);
    const reserved = high === 1 ? 1n << 45n : high === 2 ? 1n << 55n : 0n;
    return (BigInt(table) << 12n) | bits | present | reserved | (high < 12 ? 1n << 63n : 0n);
  });
const narrowEntry = fc
  .tuple(fc.integer({ min: 1, max: TABLES }), fc.nat(0xfff), fc.nat(15), fc.nat(15))
  .map(([table, low, rare, large]) => {
    const address = large < 3 ? (table << 22) | (large << 13) | (large === 2 ? 0x200000 : 0) : table << 12;
    return (address | (low & 0x166) | (large < 3 ? 0x80 : 0) | (rare === 0 ? 0 : 1)) >>> 0;
  });

const settings = fc.record({
  noExecute: fc.boolean(),
  writeProtect: fc.boolean(),
  smep: fc.boolean(),
  smap: fc.boolean(),
  pageSizeExtension: fc.boolean(),
});
const accesses = fc.record({
  write: fc.boolean(),
  fetch: fc.boolean(),
  user: fc.boolean(),
  alignmentCheck: fc.boolean(),
});
type Settings = typeof settings extends fc.Arbitrary<infer T> ? T : never;
type Access = typeof accesses extends fc.Arbitrary<infer T> ? T : never;

function compare(levels: 2 | 3 | 4, linear: bigint, set: Settings, wish: Access, pdpte: Int32Array): void {
  const access = { ...wish, write: wish.write && !wish.fetch };
  const mode: PagingMode = { ...set, levels, root: ROOT, globals: true, gigabytePages: true, pdpte };
  const cr4 =
    (set.pageSizeExtension ? 0x10 : 0) | (levels > 2 ? 0x20 : 0) | (set.smep ? 1 << 20 : 0) | (set.smap ? 1 << 21 : 0);
  const state: PagingState = {
    ...{ cr0: (0x80000001 | (set.writeProtect ? 1 << 16 : 0)) >>> 0, cr3Low: ROOT, cr3High: 0, cr4 },
    ...{
      efer: (levels === 4 ? 0x500 : 0) | (set.noExecute ? 0x800 : 0),
      pdptes: [...pdpte],
      physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      gigabytePages: true,
    },
  };
  const accessClass = access.user ? CLASS.user : access.alignmentCheck ? CLASS.supervisor : CLASS.supervisorSmap;
  const walk = walkPages(reader, state, Number(linear), access);
  const outcome = walker.walk(
    mode,
    Number(BigInt.asIntN(32, linear)),
    Number(BigInt.asIntN(64, linear) >> 32n),
    access.write,
    access.fetch,
    accessClass,
  );
  const got = 'errorCode' in walk ? { fault: walk.errorCode } : { physical: walk.physical, pageShift: walk.pageShift };
  assert.deepEqual(
    got,
    outcome === WALK.ok ? { physical: walker.physical, pageShift: walker.pageShift } : { fault: walker.errorCode },
  );
}

describe('page walks agree with those of the machine, over random tables', () => {
  const indices = fc.array(fc.nat(3), { minLength: 4, maxLength: 4 });

  it('4-level paging, both halves of the address space', () => {
    fc.assert(
      fc.property(
        fc.array(wideEntry, { minLength: 8 * TABLES, maxLength: 8 * TABLES }),
        settings,
        accesses,
        indices,
        fc.nat(0xfff),
        fc.boolean(),
        (entries, set, access, index, offset, upper) => {
          // Entries 0..3 and, for the upper half, 508..511 of each table.
          entries.forEach((value, i) =>
            memory.view.setBigUint64(
              memory.host(FIRST_TABLE + 0x1000 * (i >> 3) + ((i & 4 ? 508 : 0) + (i & 3)) * 8),
              value,
              true,
            ),
          );
          const linear =
            index.reduce((sum, n) => (sum << 9n) | BigInt(upper ? 508 + n : n), 0n) * 4096n + BigInt(offset);
          compare(4, upper ? BigInt.asIntN(64, linear | (-1n << 48n)) : linear, set, access, new Int32Array(8));
        },
      ),
      { numRuns: 10_000, seed: 2 },
    );
  });

  it('PAE paging', () => {
    fc.assert(
      fc.property(
        fc.array(wideEntry, { minLength: 4 * TABLES, maxLength: 4 * TABLES }),
        settings,
        accesses,
        indices,
        fc.nat(0xfff),
        (entries, set, access, index, offset) => {
          entries.forEach((value, i) =>
            memory.view.setBigUint64(memory.host(FIRST_TABLE + 0x1000 * (i >> 2) + (i & 3) * 8), value, true),
          );
          const pdpte = new Int32Array([0x2001, 0, 0x3001, 0, 0, 0, 0x5001, 0]);
          compare(
            3,
            BigInt(index[0]) * 2n ** 30n + BigInt(index[1]) * 2n ** 21n + BigInt(index[2]) * 4096n + BigInt(offset),
            set,
            access,
            pdpte,
          );
        },
      ),
      { numRuns: 5_000, seed: 3 },
    );
  });

  it('32-bit paging', () => {
    fc.assert(
      fc.property(
        fc.array(narrowEntry, { minLength: 4 * TABLES, maxLength: 4 * TABLES }),
        settings,
        accesses,
        indices,
        fc.nat(0xfff),
        (entries, set, access, index, offset) => {
          entries.forEach((value, i) =>
            memory.view.setUint32(memory.host(FIRST_TABLE + 0x1000 * (i >> 2) + (i & 3) * 4), value, true),
          );
          compare(
            2,
            BigInt(index[0]) * 2n ** 22n + BigInt(index[1]) * 4096n + BigInt(offset),
            set,
            access,
            new Int32Array(8),
          );
        },
      ),
      { numRuns: 5_000, seed: 4 },
    );
  });
});

describe('a page walk', () => {
  const state: PagingState = {
    cr0: 0x80010001,
    cr3Low: ROOT,
    cr3High: 0,
    cr4: 0x20,
    efer: 0xd00,
    pdptes: [],
    physicalAddressBits: PHYSICAL_ADDRESS_BITS,
    gigabytePages: true,
  };
  const read = { write: false, fetch: false, user: false, alignmentCheck: false };

  it('tells the entries it used, and writes none of them', () => {
    [0x2003n, 0x3003n, 0x4003n, 0x5003n].forEach((value, i) =>
      memory.view.setBigUint64(memory.host(0x1000 * (i + 1)), value, true),
    );
    const before = memory.u8.slice();
    assert.deepEqual(walkPages(reader, state, 0x123, { ...read, write: true }), {
      physical: 0x5123,
      pageShift: 12,
      entries: [0x1000, 0x2000, 0x3000, 0x4000],
    });
    assert.deepEqual(memory.u8, before);
  });

  it('finds tables where there is no memory full of ones: reserved bits', () => {
    assert.deepEqual(walkPages(reader, { ...state, cr3Low: 0x40000000 }, 0, read), { errorCode: 9 });
  });

  it('without paging gives the address itself', () => {
    assert.deepEqual(walkPages(reader, { ...state, cr0: 1 }, 0xfee00010, read), {
      physical: 0xfee00010,
      pageShift: 12,
      entries: [],
    });
  });
});
