// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PROFILES } from '../../arch/vmx/profiles.ts';
import type { Halves, HostPhysical } from '../../hardware/vmx.ts';
import { FakeMemory, FakeProcessor } from '../fake-machine.testing.ts';
import { HostAllocator } from '../host-allocator.ts';
import { CHUNK_BYTES, L1Memory } from '../l1-memory.ts';
import { eptFeatures } from './ept-format.ts';
import { MultiDimensionalPaging } from './multi-dimensional.ts';

const MIB = 2 ** 20;
const [READ, WRITE, EXECUTE] = [1, 2, 4];
const PAGE = 0x80;
const [ACCESSED, DIRTY] = [0x100, 0x200];
const WB = 6 << 3;
/** L1-physical places of EPT12's tables: PML4, PDPT, PD, then PTs. */
const TABLES = 0x200000;
const EPTP12: Halves = { low: TABLES | 0x1e, high: 0 };
const WITH_FLAGS: Halves = { low: TABLES | 0x5e, high: 0 };

interface World {
  readonly memory: FakeMemory;
  readonly processor: FakeProcessor;
  readonly allocator: HostAllocator;
  readonly l1: L1Memory;
  readonly standIn: HostPhysical;
  readonly paging: MultiDimensionalPaging;
}

function world(pageLimit = 1000): World {
  const memory = new FakeMemory(32 * MIB);
  const processor = new FakeProcessor(0, PROFILES['modern-1'], memory);
  const allocator = new HostAllocator(memory, 0, 8 * MIB);
  const l1 = new L1Memory(memory, { ramBytes: 16 * MIB, hole: 0xb0000000, start: 8 * MIB, permute: 3 });
  const standIn = allocator.allocate();
  const paging = new MultiDimensionalPaging({
    standIn,
    processor,
    memory,
    pages: allocator,
    pageLimit,
    l1,
    features: eptFeatures(PROFILES['modern-1'], 39),
  });
  return { memory, processor, allocator, l1, standIn, paging };
}

function put(l1: L1Memory, address: number, low: number, high = 0): void {
  l1.write32(address, low >>> 0);
  l1.write32(address + 4, high >>> 0);
}

/** Maps one page of L2's first GByte in EPT12: `level` 1 a 4-KByte page, 2 a 2-MByte page. */
function map12(l1: L1Memory, address: number, l1Physical: number, bits: number, level: 1 | 2): void {
  put(l1, TABLES, TABLES + 0x1000 + 7);
  put(l1, TABLES + 0x1000, TABLES + 0x2000 + 7);
  const directory = Math.floor(address / CHUNK_BYTES);
  if (level === 2) return put(l1, TABLES + 0x2000 + directory * 8, l1Physical | bits | PAGE);
  const table = TABLES + 0x3000 + directory * 0x1000;
  put(l1, TABLES + 0x2000 + directory * 8, table + 7);
  put(l1, table + (Math.floor(address / 4096) % 512) * 8, l1Physical | bits);
}

/** What the hardware finds in EPT02: host address and permissions; undefined: nothing. */
function walk02(
  { memory }: World,
  pointer: Halves,
  address: number,
): { host: HostPhysical; permissions: number; size: number; low: number } | undefined {
  let table = (pointer.low & ~0xfff) >>> 0;
  let permissions = 7;
  for (let level = 4; ; level--) {
    const size = 2 ** (3 + 9 * level);
    const low = memory.read32(table + (Math.floor(address / size) % 512) * 8);
    permissions &= low;
    if ((low & 7) === 0) return undefined;
    const base = (low & ~0xfff) >>> 0;
    if (level === 1 || low & PAGE) return { host: base + (address % size), permissions, size, low };
    table = base;
  }
}

function pointer02({ paging }: World, eptp12 = EPTP12): Halves {
  const out: Halves = { low: 0, high: 0 };
  paging.enter(eptp12, out);
  return out;
}

describe('EPT02', () => {
  it('is the composition of EPT12 and EPT01: what it translates, both do, to the same place with both permissions', () => {
    const page = fc.record({
      number: fc.integer({ min: 0, max: 2047 }),
      large: fc.boolean(),
      target: fc.integer({ min: 0, max: 5000 }),
      bits: fc.constantFrom(1, 3, 4, 5, 7, 0, 2, 6),
      type: fc.constantFrom(6, 0, 3),
    });
    const access = fc.record({
      page: fc.integer({ min: 0, max: 2047 }),
      offset: fc.integer({ min: 0, max: 4095 }),
      needed: fc.constantFrom(READ, WRITE, EXECUTE, READ | WRITE),
    });
    fc.assert(
      fc.property(
        fc.array(page, { maxLength: 12 }),
        fc.array(access, { minLength: 1, maxLength: 20 }),
        (pages, accesses) => {
          const w = world();
          for (const { number, large, target, bits, type } of pages) {
            // Targets are beyond the tables, and some beyond memory.
            const address = large ? Math.floor(number / 512) * CHUNK_BYTES : number * 4096;
            const to = large ? (2 + (target % 8)) * CHUNK_BYTES : 0x400000 + target * 4096;
            map12(w.l1, address, to, bits | (type << 3), large ? 2 : 1);
          }
          const pointer = pointer02(w);
          for (const { page: number, offset, needed } of accesses) {
            const address = number * 4096 + offset;
            const expected = oracle(w.l1, address, needed);
            const outcome = w.paging.violation(EPTP12, address, needed | 0x180);
            assert.equal(outcome, expected.outcome);
            if (outcome === 'violation') assert.equal(w.paging.permissions12, expected.permissions);
            if (outcome === 'device') assert.equal(w.paging.l1Physical, expected.physical);
            if (outcome !== 'filled') {
              if (outcome !== 'device')
                assert.equal(walk02(w, pointer, address), undefined, 'what L1 is told about is not kept');
              continue;
            }
            const found = walk02(w, pointer, address);
            assert.equal(found?.host, w.l1.translate(expected.physical));
            assert.equal(found?.permissions, expected.permissions);
            assert.equal(
              found?.size,
              Math.min(expected.size, w.l1.isWholeChunk(expected.physical) ? CHUNK_BYTES : 4096),
            );
            assert.equal((found?.low ?? 0) & 0x38, expected.type);
          }
          w.paging.releaseAll();
          assert.equal(w.paging.state.pages, 0);
        },
      ),
      { numRuns: 150 },
    );
  });

  /** EPT12 read as the manual describes it, with nothing of the code under test. */
  function oracle(
    l1: L1Memory,
    address: number,
    needed: number,
  ): { outcome: string; physical: number; permissions: number; size: number; type: number } {
    const none = { physical: 0, size: 0, type: 0 };
    let table = TABLES;
    let permissions = 7;
    for (const size of [2 ** 39, 2 ** 30, CHUNK_BYTES, 4096]) {
      const entry = l1.read32(table + (Math.floor(address / size) % 512) * 8);
      if ((entry & 7) === 0) return { outcome: 'violation', permissions: 0, ...none };
      const leaf = size === 4096 || (size === CHUNK_BYTES && (entry & PAGE) !== 0);
      if ((entry & 3) === 2 || (leaf ? [2, 3, 7].includes((entry >> 3) & 7) : (entry & 0x78) !== 0))
        return { outcome: 'misconfiguration', permissions: 0, ...none };
      permissions &= entry;
      table = (entry & ~0xfff) >>> 0;
      if (!leaf) continue;
      if ((permissions & needed) !== needed) return { outcome: 'violation', permissions, ...none };
      const physical = table + (address % size);
      return { outcome: l1.isRam(physical) ? 'filled' : 'device', physical, permissions, size, type: entry & 0x38 };
    }
    throw new Error('unreachable');
  }

  it('addresses that four levels cannot translate are violations without permissions (CVE-2017-12188)', () => {
    const w = world();
    map12(w.l1, 0, 0x800000, 7 | WB, 1);
    pointer02(w);
    assert.equal(w.paging.violation(EPTP12, 2 ** 48, READ), 'violation');
    assert.equal(w.paging.permissions12, 0);
  });
  it('tables where L1 has no memory read as all ones: misconfiguration', () => {
    const w = world();
    const nowhere: Halves = { low: 0x7000001e, high: 0 };
    pointer02(w, nowhere);
    assert.equal(w.paging.violation(nowhere, 0, READ), 'misconfiguration');
  });
  it('sizes: the smaller of the two, and a page makes way for a table and back', () => {
    const w = world();
    map12(w.l1, 0, 2 * CHUNK_BYTES, 7 | WB, 2);
    const pointer = pointer02(w);
    w.paging.violation(EPTP12, 0x5000, READ);
    assert.equal(walk02(w, pointer, 0)?.size, CHUNK_BYTES);
    map12(w.l1, 0x5000, 0x800000, 7 | WB, 1);
    w.paging.violation(EPTP12, 0x5000, WRITE);
    assert.equal(walk02(w, pointer, 0x5000)?.size, 4096);
    assert.equal(walk02(w, pointer, 0), undefined);
    map12(w.l1, 0, 2 * CHUNK_BYTES, 7 | WB, 2);
    w.processor.invalidations.length = 0;
    w.paging.violation(EPTP12, 0x5000, WRITE);
    assert.equal(walk02(w, pointer, 0x5000)?.size, CHUNK_BYTES);
    assert.equal(w.paging.state.pages, 3, 'the table has gone');
    assert.deepEqual(w.processor.invalidations, ['INVEPT 1']);
  });
  it('is a TLB: a weaker EPT12 counts from INVEPT on, a stronger one from the next violation', () => {
    const w = world();
    map12(w.l1, 0, 0x800000, READ | WB, 1);
    const pointer = pointer02(w);
    w.paging.violation(EPTP12, 0, READ);
    map12(w.l1, 0, 0x800000, 7 | WB, 1);
    assert.equal(w.paging.violation(EPTP12, 0, WRITE), 'filled');
    assert.equal(walk02(w, pointer, 0)?.permissions, 7);
    map12(w.l1, 0, 0x801000, READ | WB, 1);
    assert.equal(walk02(w, pointer, 0)?.host, w.l1.translate(0x800000), 'stale, as the manual permits');
    w.paging.invalidate(EPTP12);
    assert.equal(walk02(w, pointer, 0), undefined);
    w.paging.violation(EPTP12, 0, READ);
    assert.equal(walk02(w, pointer, 0)?.host, w.l1.translate(0x801000));
  });
  it('a violation that L1 is told of leaves nothing older of that address', () => {
    const w = world();
    map12(w.l1, 0, 0x800000, 7 | WB, 1);
    const pointer = pointer02(w);
    w.paging.violation(EPTP12, 0, READ);
    map12(w.l1, 0, 0x800000, READ | WB, 1);
    assert.equal(w.paging.violation(EPTP12, 0, WRITE), 'violation');
    assert.equal(walk02(w, pointer, 0), undefined);
  });
});

describe('accessed and dirty flags of EPT12', () => {
  it('are set as the processor sets them, and a page stays read-only until its dirty flag is set', () => {
    const w = world();
    map12(w.l1, 0, 0x800000, 7 | WB, 1);
    const pointer = pointer02(w, WITH_FLAGS);
    assert.ok(pointer.low & 0x40, "EPTP02 has the flags too: walks of L2's tables count as writes");
    const leaf = TABLES + 0x3000;
    w.paging.violation(WITH_FLAGS, 0, READ);
    assert.equal(w.l1.read32(leaf) & (ACCESSED | DIRTY), ACCESSED);
    assert.ok(w.l1.read32(TABLES) & ACCESSED);
    assert.equal(walk02(w, pointer, 0)?.permissions, READ | EXECUTE);
    assert.equal(w.paging.violation(WITH_FLAGS, 0, WRITE), 'filled');
    assert.equal(w.l1.read32(leaf) & (ACCESSED | DIRTY), ACCESSED | DIRTY);
    assert.equal(walk02(w, pointer, 0)?.permissions, 7);
  });
  it('are not set if the access is refused, nor without bit 6 of the EPTP', () => {
    const w = world();
    map12(w.l1, 0, 0x800000, READ | WB, 1);
    pointer02(w, WITH_FLAGS);
    w.paging.violation(WITH_FLAGS, 0, WRITE);
    assert.equal(w.l1.read32(TABLES + 0x3000) & (ACCESSED | DIRTY), 0);
    pointer02(w, EPTP12);
    w.paging.violation(EPTP12, 0, READ);
    assert.equal(w.l1.read32(TABLES) & ACCESSED, 0);
  });
});

describe('EPT02s of several EPTP12s', () => {
  const eptp = (n: number): Halves => ({ low: (0x300000 + n * 0x1000) | 0x1e, high: 0 });
  it('are found again when L1 switches back and forth', () => {
    const w = world();
    const [first, second] = [pointer02(w, eptp(0)), pointer02(w, eptp(1))];
    assert.notDeepEqual(first, second);
    assert.deepEqual(pointer02(w, eptp(0)), first);
    assert.equal(w.paging.state.pages, 2);
  });
  it('differ by the flags bit, and by nothing else in the low bits', () => {
    const w = world();
    assert.notDeepEqual(pointer02(w, EPTP12), pointer02(w, WITH_FLAGS));
    assert.deepEqual(pointer02(w, { low: TABLES | 0x18, high: 0 }), pointer02(w, EPTP12));
  });
  it('INVEPT empties both, by the address alone, and leaves the others', () => {
    const w = world();
    map12(w.l1, 0, 0x800000, 7 | WB, 1);
    for (const pointer of [EPTP12, WITH_FLAGS]) {
      pointer02(w, pointer);
      w.paging.violation(pointer, 0, READ);
    }
    pointer02(w, eptp(5));
    assert.equal(w.paging.state.pages, 9);
    w.processor.invalidations.length = 0;
    w.paging.invalidate(EPTP12);
    assert.equal(w.paging.state.pages, 3);
    assert.deepEqual(w.processor.invalidations, ['INVEPT 1', 'INVEPT 1']);
  });
  it('the one entered longest ago makes way; its pages come back and the hardware forgets it', () => {
    const w = world();
    const free = w.allocator.free;
    for (let n = 0; n < 8; n++) pointer02(w, eptp(n));
    pointer02(w, eptp(0));
    w.processor.invalidations.length = 0;
    pointer02(w, eptp(8));
    assert.deepEqual(w.processor.invalidations, ['INVEPT 1']);
    assert.equal(free - w.allocator.free, 8);
    assert.equal(w.paging.state.keys.includes(0x301000), false);
    assert.equal(w.paging.state.keys.includes(0x300000), true);
    w.paging.releaseAll();
    assert.equal(w.allocator.free, free);
  });
  it('stay within their limit of pages, the root of the one in use in its place', () => {
    const w = world(12);
    const pointer = pointer02(w);
    for (let n = 0; n < 40; n++) {
      const address = n * CHUNK_BYTES;
      put(w.l1, TABLES, TABLES + 0x1000 + 7);
      put(w.l1, TABLES + 0x1000, TABLES + 0x2000 + 7);
      put(w.l1, TABLES + 0x2000 + n * 8, TABLES + 0x3000 + 7);
      put(w.l1, TABLES + 0x3000, 0x800000 | 7 | WB);
      assert.equal(w.paging.violation(EPTP12, address, READ), 'filled');
      assert.ok(w.paging.state.pages <= 12);
      assert.equal(walk02(w, pointer, address)?.host, w.l1.translate(0x800000));
    }
  });
  it('come back from a saved state', () => {
    const w = world();
    const pointer = pointer02(w);
    const saved = w.paging.save();
    w.paging.state.keys.fill(-1);
    w.paging.restore(saved);
    assert.deepEqual(pointer02(w), pointer);
  });
});

describe('an APIC-access page that is no memory of L1', () => {
  it("has a page of L0's in its place", () => {
    const w = world();
    map12(w.l1, 0, 0xfee00000, 7, 1);
    const pointer = pointer02(w);
    assert.equal(w.paging.violation(EPTP12, 0x300, READ), 'device');
    assert.equal(w.paging.l1Physical, 0xfee00300);
    w.paging.standInAt(0xfee00000);
    assert.equal(w.paging.violation(EPTP12, 0x300, READ), 'filled');
    assert.equal(walk02(w, pointer, 0x300)?.host, w.standIn + 0x300);
  });
  it('which no table leads to any more when the APIC-access page is another, or there is none', () => {
    for (const next of [-1, 0xfee01000]) {
      const w = world();
      map12(w.l1, 0, 0xfee00000, 7, 1);
      const pointer = pointer02(w);
      w.paging.standInAt(0xfee00000);
      assert.equal(w.paging.violation(EPTP12, 0x300, READ), 'filled');
      w.processor.invalidations.length = 0;
      w.paging.standInAt(next);
      assert.equal(walk02(w, pointer, 0x300), undefined);
      assert.equal(w.processor.invalidations.length, 1);
      assert.equal(w.paging.violation(EPTP12, 0x300, READ), 'device');
    }
  });
});
