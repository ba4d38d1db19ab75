// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededEntropy } from './seeded-entropy.ts';

function bytes(source: SeededEntropy, length: number): Uint8Array {
  const filled = new Uint8Array(length);
  source.fill(filled);
  return filled;
}

/** The same recurrence over BigInt, cut to 32 bits at each step. */
function reference(seed: number, length: number): number[] {
  const cut = (value: bigint): bigint => BigInt.asUintN(32, value);
  let state = cut(BigInt(seed));
  return Array.from({ length }, () => {
    state = cut(state + 0x6d2b79f5n);
    let word = cut((state ^ (state >> 15n)) * (state | 1n));
    word = word ^ cut(word + cut((word ^ (word >> 7n)) * (word | 61n)));
    return Number(cut(word ^ (word >> 14n)) >> 24n);
  });
}

test('is the Mulberry32 sequence of its seed', () => {
  for (const seed of [0, 1, 0x7fffffff, 0xffffffff]) {
    assert.deepEqual([...bytes(new SeededEntropy(seed), 64)], reference(seed, 64), `seed ${seed}`);
  }
});

test('repeats with the seed, whatever the pieces, and differs without', () => {
  const whole = bytes(new SeededEntropy(7), 12);
  const pieces = new SeededEntropy(7);
  assert.deepEqual([...bytes(pieces, 5), ...bytes(pieces, 0), ...bytes(pieces, 7)], [...whole]);
  assert.notDeepEqual(bytes(new SeededEntropy(8), 12), whole);
});

test('goes on from its state, which is all there is to save', () => {
  const first = new SeededEntropy(42);
  bytes(first, 100);
  const second = new SeededEntropy(0);
  second.state = first.state;
  assert.deepEqual(bytes(second, 16), bytes(first, 16));
});

test('uses all values of a byte about equally', () => {
  const counts = new Uint32Array(256);
  for (const byte of bytes(new SeededEntropy(1), 65536)) counts[byte]++;
  assert.ok(Math.min(...counts) > 180 && Math.max(...counts) < 340);
});
