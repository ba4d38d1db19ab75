// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UserError } from '../base/errors.ts';
import { memoryMap, ONE_MIB } from './e820.ts';
import { pcLayout } from './layout.ts';
import { MemoryPlacer } from './placement.ts';

const placerOf = (mebibytes: number): MemoryPlacer =>
  new MemoryPlacer(memoryMap(pcLayout({ memoryBytes: mebibytes * ONE_MIB })));
const refusal =
  (pattern: RegExp, hint = /./) =>
  (error: unknown) =>
    error instanceof UserError && pattern.test(error.message) && hint.test(error.hint);

test('pieces never overlap and lie in memory, whatever the order', () => {
  const request = fc.tuple(fc.constantFrom('low', 'above', 'high'), fc.integer({ min: 1, max: 90_000 }));
  fc.assert(
    fc.property(fc.array(request, { maxLength: 20 }), (requests) => {
      const placer = placerOf(64);
      placer.fixed(0x4000, 0x2000, Uint8Array.of(1), 'a kernel in low memory');
      placer.fixed(ONE_MIB, 0x5000, new Uint8Array(10), 'a kernel');
      const taken: [number, number][] = [
        [0x4000, 0x6000],
        [ONE_MIB, ONE_MIB + 0x5000],
      ];
      for (const [where, size] of requests) {
        const bytes = new Uint8Array(size);
        let at: number;
        try {
          at =
            where === 'low'
              ? placer.low(bytes, 16, 'x')
              : where === 'above'
                ? placer.above(bytes, 'x')
                : placer.high(bytes, 2 ** 31, 'x');
        } catch (error) {
          assert.ok(error instanceof UserError); // a high piece leaves no room above it
          continue;
        }
        assert.ok(
          taken.every(([base, end]) => at + size <= base || end <= at),
          `${at}`,
        );
        assert.ok(at >= 0x1000 && at + size <= 64 * ONE_MIB && (at + size <= 0x9fc00 || at >= ONE_MIB));
        taken.push([at, at + size]);
      }
    }),
  );
});

test('too little memory says how much would do', () => {
  assert.throws(
    () => placerOf(32).fixed(ONE_MIB, 40 * ONE_MIB, new Uint8Array(1), 'the kernel k'),
    refusal(/the kernel k needs at least 41 MiB, the machine has 32 MiB/, /--memory 41M \(-m 41M\)/),
  );
  const placer = placerOf(32);
  placer.fixed(ONE_MIB, 20 * ONE_MIB, new Uint8Array(1), 'the kernel');
  const initrd = new Uint8Array(15 * ONE_MIB);
  assert.throws(() => placer.high(initrd, 2 ** 31, 'initrd i'), refusal(/initrd i needs at least 36 MiB/));
  assert.throws(() => placer.above(initrd, 'module m'), refusal(/module m needs at least 36 MiB/));
  assert.throws(
    () => placer.high(initrd, 30 * ONE_MIB, 'initrd i'),
    refusal(/does not fit below 0x1e00000, the kernel's limit/),
  );
});

test('what no amount of memory mends is not blamed on memory', () => {
  assert.throws(
    () => placerOf(32).fixed(0xa0000, 16, new Uint8Array(1), 'the kernel'),
    refusal(/0xa0000..0xa000f, which is not memory/),
  );
  assert.throws(
    () => placerOf(32).fixed(0xb0000000, 16, new Uint8Array(1), 'the kernel'),
    refusal(/which is not memory/),
  );
});

test('a kernel whose segments overlap is damaged', () => {
  const placer = placerOf(32);
  placer.fixed(ONE_MIB, 0x2000, new Uint8Array(1), 'the kernel');
  assert.throws(() => placer.fixed(ONE_MIB + 0x1fff, 1, new Uint8Array(1), 'the kernel'), refusal(/would overlap/));
});
