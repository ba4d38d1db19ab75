// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nanosecondsOfTick, ticksAt } from './ticks.ts';

const hertz = fc.constantFrom(32_768, 1_193_182, 3_579_545, 9_000_000);
const days = 40 * 86_400;

test('ticks agree with exact arithmetic', () => {
  fc.assert(
    fc.property(hertz, fc.integer({ min: 0, max: days * 1e9 }), (frequency, time) => {
      const exact = (BigInt(time) * BigInt(frequency)) / 1_000_000_000n;
      assert.equal(BigInt(ticksAt(time, frequency)), exact);
    }),
  );
});

test('the deadline of a tick is the first nanosecond that has it', () => {
  fc.assert(
    fc.property(hertz, fc.integer({ min: 1, max: days * 32_768 }), (frequency, tick) => {
      const time = nanosecondsOfTick(tick, frequency);
      assert.equal(ticksAt(time, frequency), tick);
      assert.equal(ticksAt(time - 1, frequency), tick - 1);
    }),
  );
});

test('before the origin, and never', () => {
  assert.equal(ticksAt(-500_000_000, 32_768), -16_384);
  assert.equal(nanosecondsOfTick(Infinity, 32_768), Infinity);
});
