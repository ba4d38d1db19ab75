// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Ept01 } from './ept01.ts';
import { FakeMemory } from './fake-machine.testing.ts';
import { HostAllocator, PAGE_BYTES } from './host-allocator.ts';
import { CHUNK_BYTES, L1Memory } from './l1-memory.ts';

const MIB = 2 ** 20;
const FOUR_GIB = 2 ** 32;
const START = 4 * MIB;

/** Sizes with and without a part of a chunk at the end, holes in the middle of memory, with and without shuffling. */
const maps = fc
  .record({
    pages: fc.integer({ min: 1, max: (16 * MIB) / PAGE_BYTES }),
    hole: fc.constantFrom(2 * MIB, 6 * MIB, 0xb0000000),
    permute: fc.option(fc.integer({ min: 0, max: 1000 }), { nil: undefined }),
  })
  .filter(({ pages, hole }) => pages * PAGE_BYTES <= hole || hole < 16 * MIB);

function build({ pages, hole, permute }: { pages: number; hole: number; permute: number | undefined }) {
  const host = new FakeMemory(24 * MIB);
  const l1 = new L1Memory(host, {
    ramBytes: pages * PAGE_BYTES,
    hole,
    start: START,
    ...(permute === undefined ? {} : { permute }),
  });
  return { host, l1, lowEnd: Math.min(pages * PAGE_BYTES, hole), ramBytes: pages * PAGE_BYTES };
}

/** What the hardware's walk of EPT01 comes to: the host address, or -1 where it finds nothing. */
function walk(host: FakeMemory, pointer: number, address: number): number {
  let table = pointer - (pointer % PAGE_BYTES);
  for (let level = 4; ; level--) {
    const size = 2 ** (12 + 9 * (level - 1));
    const entry = table + (Math.floor(address / size) % 512) * 8;
    const low = host.read32(entry);
    if ((low & 7) === 0) return -1;
    assert.equal(low & 7, 7, 'every entry permits everything');
    const next = host.read32(entry + 4) * FOUR_GIB + ((low & ~0xfff) >>> 0);
    if (level === 1 || low & 0x80) return next + (address % size);
    table = next;
  }
}

describe('the map of an L1', () => {
  it('gives every page of L1 a page of its own, outside L0 and never the same address', () => {
    fc.assert(
      fc.property(maps, (map) => {
        const { l1, lowEnd, ramBytes, host } = build(map);
        const seen = new Set<number>();
        for (let page = 0; page < ramBytes; page += PAGE_BYTES) {
          const address = page < lowEnd ? page : FOUR_GIB + page - lowEnd;
          const at = l1.translate(address + 0x123);
          assert.equal(at % PAGE_BYTES, 0x123);
          assert.ok(
            at >= START && at < host.bytes && at !== address + 0x123,
            `${address.toString(16)} at ${at.toString(16)}`,
          );
          seen.add(at);
        }
        assert.equal(seen.size, ramBytes / PAGE_BYTES);
        assert.deepEqual([l1.translate(lowEnd), l1.translate(FOUR_GIB + ramBytes - lowEnd)], [-1, -1]);
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  it('is what EPT01 says, page by page', () => {
    fc.assert(
      fc.property(maps, (map) => {
        const { l1, lowEnd, ramBytes, host } = build(map);
        const ept01 = new Ept01(host, new HostAllocator(host, 0, START), l1);
        for (const base of [0, FOUR_GIB]) {
          const end = base === 0 ? lowEnd : FOUR_GIB + ramBytes - lowEnd;
          for (let address = base; address < end + CHUNK_BYTES; address += PAGE_BYTES) {
            assert.equal(
              walk(host, ept01.pointer.low, address),
              address < end || l1.isRam(address) ? l1.translate(address) : -1,
            );
          }
        }
      }),
      { numRuns: 20, seed: 2 },
    );
  });

  it('carries reads and writes over chunks that lie apart, and ignores what is no memory', () => {
    fc.assert(
      fc.property(
        maps,
        fc.integer({ min: 0, max: 16 * MIB }),
        fc.integer({ min: 1, max: CHUNK_BYTES + 100 }),
        (map, address, length) => {
          const { l1 } = build(map);
          const bytes = new Uint8Array(length).map((_, i) => (i * 7 + 1) & 0xff);
          l1.write(address, bytes);
          const back = new Uint8Array(length);
          l1.read(address, back);
          const expected = bytes.map((byte, i) => (l1.isRam(address + i) ? byte : 0xff));
          assert.ok(back.every((byte, i) => byte === expected[i]));
        },
      ),
      { numRuns: 10, seed: 3 },
    );
  });

  it('differs between seeds', () => {
    const places = [1, 2, undefined].map((permute) =>
      build({ pages: 4096, hole: 0xb0000000, permute }).l1.chunks.join(),
    );
    assert.equal(new Set(places).size, 3);
  });
});

describe('the host allocator', () => {
  it('gives zeroed pages, each once, and takes them back', () => {
    const host = new FakeMemory(MIB);
    host.array.fill(0xee);
    const allocator = new HostAllocator(host, 0x10000, 4 * PAGE_BYTES);
    const pages = [1, 2, 3, 4].map(() => allocator.allocate());
    assert.deepEqual(pages, [0x10000, 0x11000, 0x12000, 0x13000]);
    assert.equal(allocator.free, 0);
    assert.throws(() => allocator.allocate(), /page left/);
    assert.ok(host.array.subarray(0x10000, 0x14000).every((byte) => byte === 0));
    const saved = allocator.save();
    allocator.release(0x12000);
    assert.throws(() => allocator.release(0x12000), /in use/);
    assert.equal(allocator.allocate(), 0x12000);
    allocator.release(0x11000);
    allocator.restore(saved);
    assert.equal(allocator.free, 0);
  });
});

describe('EPT01', () => {
  it('maps and unmaps single pages elsewhere', () => {
    const { host, l1 } = build({ pages: 512, hole: 0xb0000000, permute: undefined });
    const ept01 = new Ept01(host, new HostAllocator(host, 0, START), l1);
    ept01.mapPage(0xfee00000, 0x3000);
    assert.equal(walk(host, ept01.pointer.low, 0xfee00abc), 0x3abc);
    ept01.unmapPage(0xfee00000);
    assert.equal(walk(host, ept01.pointer.low, 0xfee00000), -1);
    assert.equal(ept01.pointer.low & 0xfff, 0x1e, 'write-back, four levels');
  });
});
