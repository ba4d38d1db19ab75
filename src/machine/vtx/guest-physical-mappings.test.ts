// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Memory } from '../memory/memory.ts';
import { EPT_ACCESS, EPT_WALK, EptWalker } from './ept.ts';

const { read: READ, write: WRITE, fetch: FETCH } = EPT_ACCESS;
const ALL = READ | WRITE | FETCH;
const [ROOT, OTHER] = [0x1000, 0x5000];
const DIRTY = 0x200;

/** Two roots over the same tables, which map guest-physical pages 0 and 1 to C000h and D000h. */
class Ept {
  readonly memory = new Memory(1, 1 << 20, 0xb0000000);
  readonly walker = new EptWalker(this.memory);

  constructor(accessedDirty = false) {
    for (const root of [ROOT, OTHER]) this.set(root, 0x2000 | ALL);
    this.set(0x2000, 0x3000 | ALL);
    this.set(0x3000, 0x4000 | ALL);
    this.map(0, 0xc000).map(1, 0xd000);
    this.walker.use(ROOT, accessedDirty);
  }
  private set(address: number, entry: number): void {
    this.memory.i32[this.memory.host(address) >>> 2] = entry;
  }
  map(page: number, to: number, rights = ALL): this {
    this.set(0x4000 + page * 8, to | rights);
    return this;
  }
  entry(page: number): number {
    return this.memory.i32[this.memory.host(0x4000 + page * 8) >>> 2];
  }
  /** What an access comes to: the machine-physical address or the outcome, and how many walks that took. */
  access(address: number, needed: number = READ): [number | 'violation' | 'misconfiguration', number] {
    const { walker } = this;
    const before = walker.walks;
    const outcome = walker.walk(address, needed);
    const result = outcome === EPT_WALK.violation ? 'violation' : 'misconfiguration';
    return [outcome === EPT_WALK.ok ? walker.physical : result, walker.walks - before];
  }
}

describe('guest-physical mappings', () => {
  it('keep a page until INVEPT, whatever its entry says now', () => {
    const ept = new Ept();
    assert.deepEqual(ept.access(0x123), [0xc123, 1]);
    ept.map(0, 0xe000);
    assert.deepEqual(ept.access(0x456), [0xc456, 0]);
    assert.deepEqual(ept.access(0x1456), [0xd456, 1]);
    ept.walker.mappings.forget(ROOT);
    assert.deepEqual(ept.access(0x456), [0xe456, 1]);
    assert.deepEqual(ept.access(0x1456), [0xd456, 1]);
  });

  it('are of one EPT pointer: INVEPT of another leaves them, and that of all drops them', () => {
    const ept = new Ept();
    ept.access(0);
    ept.walker.use(OTHER, false);
    assert.deepEqual(ept.access(0), [0xc000, 1]);
    ept.walker.mappings.forget(ROOT);
    assert.deepEqual(ept.access(0), [0xc000, 0]);
    ept.walker.use(ROOT, false);
    assert.deepEqual(ept.access(0), [0xc000, 1]);
    ept.walker.mappings.forget(undefined);
    assert.deepEqual(ept.access(0), [0xc000, 1]);
    ept.walker.use(OTHER, false);
    assert.deepEqual(ept.access(0), [0xc000, 1]);
  });

  it('of a root are dropped with accessed and dirty flags and without', () => {
    for (const accessedDirty of [false, true]) {
      const ept = new Ept(accessedDirty);
      ept.access(0);
      ept.walker.mappings.forget(ROOT);
      assert.deepEqual(ept.access(0), [0xc000, 1]);
    }
  });

  it('that do not permit an access are not asked: permissions that were added hold at once', () => {
    const ept = new Ept().map(0, 0xc000, READ);
    assert.deepEqual(ept.access(0), [0xc000, 1]);
    assert.deepEqual(ept.access(0, WRITE), ['violation', 1]);
    ept.map(0, 0xc000, READ | WRITE);
    assert.deepEqual(ept.access(0, WRITE), [0xc000, 1]);
    assert.deepEqual(ept.access(0, WRITE), [0xc000, 0]);
    assert.deepEqual(ept.access(0, FETCH), ['violation', 1]);
    assert.equal(ept.walker.permissions, READ | WRITE);
  });

  it('are dropped by a violation of their address', () => {
    const ept = new Ept().map(0, 0xc000, READ);
    ept.access(0);
    ept.access(0, WRITE);
    ept.map(0, 0xe000, READ);
    assert.deepEqual(ept.access(0), [0xe000, 1]);
  });

  it('keep nothing of a page that is not present', () => {
    const ept = new Ept().map(0, 0, 0);
    assert.deepEqual(ept.access(0), ['violation', 1]);
    ept.map(0, 0xc000);
    assert.deepEqual(ept.access(0), [0xc000, 1]);
  });

  it('say what a walk says: address, permissions, and whether a write needs a walk', () => {
    const ept = new Ept().map(0, 0xc000, READ | FETCH);
    const seen = [0, 1].map(() => [ept.access(0x7ff)[0], ept.walker.permissions, ept.walker.writable]);
    assert.deepEqual(seen[0], [0xc7ff, READ | FETCH, false]);
    assert.deepEqual(seen[1], seen[0]);
  });

  it('let no write past the dirty flag', () => {
    const ept = new Ept(true);
    ept.access(0);
    assert.equal(ept.entry(0) & DIRTY, 0);
    assert.deepEqual(ept.access(0), [0xc000, 0]);
    assert.equal(ept.walker.writable, false);
    assert.deepEqual(ept.access(0, READ | WRITE), [0xc000, 1]);
    assert.equal(ept.entry(0) & DIRTY, DIRTY);
    assert.deepEqual(ept.access(0, READ | WRITE), [0xc000, 0]);
    assert.equal(ept.walker.writable, true);
  });

  it('of more EPT pointers than there are numbers are right still', () => {
    const ept = new Ept();
    ept.access(0);
    ept.map(0, 0xe000);
    const { mappings } = ept.walker;
    for (let i = 0; i < 2 ** 16 + 10; i++) mappings.select(0x100000 + i * 0x1000, false);
    mappings.select(ROOT, false);
    assert.deepEqual(ept.access(0), [0xe000, 1]);
  });
});
