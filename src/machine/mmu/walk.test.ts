// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Memory } from '../memory/memory.ts';
import { CLASS, PF, PHYSICAL_ADDRESS_BITS, PageWalker, WALK } from './walk.ts';
import type { PagingMode } from './walk.ts';

const MIB = 1 << 20;
const BASE: PagingMode = {
  levels: 4,
  root: 0x1000,
  pageSizeExtension: true,
  gigabytePages: true,
  noExecute: true,
  writeProtect: true,
  smep: false,
  smap: false,
  globals: true,
  pdpte: new Int32Array(8),
};

/** The rules in the manual's words, over BigInt, one level after the other. */
function reference(
  memory: Memory,
  mode: PagingMode,
  linear: bigint,
  write: boolean,
  fetch: boolean,
  user: boolean,
  smapApplies: boolean,
) {
  const read = (address: bigint): bigint => memory.view.getBigUint64(memory.host(Number(address)), true);
  const code = (write ? PF.write : 0) | (user ? PF.user : 0) | (fetch && (mode.smep || mode.noExecute) ? PF.fetch : 0);
  let table = BigInt(mode.root);
  let [writable, userPage, executable] = [true, true, true];
  for (let level = 4; level >= 1; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const entry = read(table + ((linear >> shift) & 0x1ffn) * 8n);
    if ((entry & 1n) === 0n) return { fault: code };
    const leaf = level === 1 || (level < 4 && (entry & 0x80n) !== 0n);
    let reserved = ((1n << 52n) - 1n) & ~((1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n);
    if (!mode.noExecute) reserved |= 1n << 63n;
    if (level === 4) reserved |= 0x80n;
    if (leaf && level > 1) reserved |= ((1n << shift) - 1n) & ~0x1fffn;
    if ((entry & reserved) !== 0n) return { fault: code | PF.present | PF.reserved };
    writable &&= (entry & 2n) !== 0n;
    userPage &&= (entry & 4n) !== 0n;
    executable &&= (entry & (1n << 63n)) === 0n;
    const next = entry & ((1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n) & ~0xfffn;
    if (!leaf) {
      table = next;
      continue;
    }
    const mayWrite = writable || (!user && !mode.writeProtect);
    let allowed = user ? userPage : true;
    if (!user && userPage && fetch && mode.smep) allowed = false;
    if (!user && userPage && !fetch && mode.smap && smapApplies) allowed = false;
    if (write && !mayWrite) allowed = false;
    if (fetch && mode.noExecute && !executable) allowed = false;
    if (!allowed) return { fault: code | PF.present };
    const mask = (1n << shift) - 1n;
    return { physical: Number((next & ~mask) | (linear & mask)) };
  }
  throw new Error('unreachable');
}

/** An entry that more often than not leads on, with every bit that matters taking part. */
const entry = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.nat(0xfff), fc.nat(15), fc.nat(60))
  .map(([table, low, rare, high]) => {
    const present = rare === 0 ? 0n : 1n;
    const bits = BigInt(low & 0x1e6) & (rare < 12 ? ~0x80n : ~0n);
    const reserved = high === 1 ? 1n << 45n : 0n;
    return (BigInt(table) << 12n) | bits | present | reserved | (high < 12 ? 1n << 63n : 0n);
  });

test('walks agree with the plain reference, faults and addresses, over random tables', () => {
  const memory = new Memory(1, MIB, 0xb0000000);
  const walker = new PageWalker(memory);
  fc.assert(
    fc.property(
      fc.array(entry, { minLength: 28, maxLength: 28 }),
      fc.record({ write: fc.boolean(), fetch: fc.boolean(), user: fc.boolean(), smapApplies: fc.boolean() }),
      fc.record({ noExecute: fc.boolean(), writeProtect: fc.boolean(), smep: fc.boolean(), smap: fc.boolean() }),
      fc.array(fc.nat(3), { minLength: 4, maxLength: 4 }),
      fc.nat(0xfff),
      (entries, access, bits, indices, offset) => {
        entries.forEach((value, i) =>
          memory.view.setBigUint64(memory.host(0x1000 * (1 + (i >> 2)) + (i & 3) * 8), value, true),
        );
        const mode = { ...BASE, ...bits };
        const linear = indices.reduce((sum, index) => (sum << 9n) | BigInt(index), 0n) * 4096n + BigInt(offset);
        const write = access.write && !access.fetch;
        const accessClass = access.user ? CLASS.user : access.smapApplies ? CLASS.supervisorSmap : CLASS.supervisor;
        const expected = reference(memory, mode, linear, write, access.fetch, access.user, access.smapApplies);
        const outcome = walker.walk(
          mode,
          Number(BigInt.asIntN(32, linear)),
          Number(linear >> 32n),
          write,
          access.fetch,
          accessClass,
        );
        const got = outcome === WALK.ok ? { physical: walker.physical } : { fault: walker.errorCode };
        assert.deepEqual(got, expected);
      },
    ),
    { numRuns: 20_000, seed: 1 },
  );
});

test('accessed and dirty bits are set on success only, dirty by a write only', () => {
  const memory = new Memory(1, MIB, 0xb0000000);
  const walker = new PageWalker(memory);
  const put = (at: number, value: bigint): void => memory.view.setBigUint64(memory.host(at), value, true);
  const get = (at: number): bigint => memory.view.getBigUint64(memory.host(at), true);
  put(0x1000, 0x2007n);
  put(0x2000, 0x3007n);
  put(0x3000, 0x4007n);
  put(0x4000, 0x5001n);
  assert.equal(walker.walk(BASE, 0, 0, true, false, CLASS.user), WALK.pageFault);
  assert.deepEqual([get(0x1000), get(0x4000)], [0x2007n, 0x5001n]);
  assert.equal(walker.walk(BASE, 0, 0, false, false, CLASS.supervisor), WALK.ok);
  assert.deepEqual([get(0x1000), get(0x4000)], [0x2027n, 0x5021n]);
  assert.equal(walker.writable, false);
  put(0x4000, 0x5003n);
  assert.equal(walker.walk(BASE, 0, 0, true, false, CLASS.supervisor), WALK.ok);
  assert.equal(get(0x4000), 0x5063n);
  assert.equal(walker.writable, true);
});
