// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualTime } from './manual-time.ts';
import { Pit, PIT_HERTZ } from './pit.ts';
import { nanosecondsOfTick, ticksAt } from './ticks.ts';

/** A PIT with a record of the rising and falling edges of IRQ 0, in ticks. */
function timer() {
  const time = new ManualTime();
  const edges: [number, boolean][] = [];
  let level = false;
  const line = {
    set(asserted: boolean) {
      if (asserted !== level) edges.push([ticksAt(time.nanoseconds(), PIT_HERTZ), asserted]);
      level = asserted;
    },
  };
  const pit = new Pit(time, line);
  const at = (tick: number): void => time.advanceTo(nanosecondsOfTick(tick, PIT_HERTZ));
  const read = (port: number, control?: number): number => {
    if (control !== undefined) pit.writeByte(0x43, control);
    return pit.readByte(port) | (pit.readByte(port) << 8);
  };
  return { time, pit, edges, at, read };
}

/** Programs a channel at the present tick. */
function program(pit: Pit, channel: number, mode: number, count: number, binaryCodedDecimal = 0): void {
  pit.writeByte(0x43, (channel << 6) | 0x30 | (mode << 1) | binaryCodedDecimal);
  pit.writeByte(0x40 + channel, count & 0xff);
  pit.writeByte(0x40 + channel, count >> 8);
}

/**
 * The 8254 clock by clock, as its data sheet tells it: count written before clock 1, which loads it; the gate is
 * high, except that modes 1 and 5 are triggered before clock 1. Gives OUT and the count after each clock.
 */
function counted(mode: number, initial: number, clocks: number): { out: boolean; count: number }[] {
  let out = mode !== 0;
  let count = 0;
  const after: { out: boolean; count: number }[] = [];
  for (let clock = 1; clock <= clocks; clock++) {
    if (clock === 1) {
      count = mode === 3 ? initial & ~1 : initial;
      if (mode === 1) out = false;
    } else if (mode === 2) {
      if (count === 1) [count, out] = [initial, true];
      else count--;
      if (count === 1) out = false;
    } else if (mode === 3) {
      // An odd count makes the high half one clock longer.
      if (count === 2 && !(initial % 2 === 1 && out)) [count, out] = [initial & ~1, !out];
      else if (count === 0) [count, out] = [initial & ~1, !out];
      else count -= 2;
    } else {
      count = (count - 1) & 0xffff;
      if (mode <= 1) out ||= count === 0;
      else out = !(count === 0 && clock === initial + 1);
    }
    after.push({ out, count });
  }
  return after;
}

for (const mode of [0, 1, 2, 3, 4, 5]) {
  test(`mode ${mode} is what the data sheet counts`, () => {
    fc.assert(
      fc.property(fc.integer({ min: mode === 3 ? 4 : 2, max: 30 }), (initial) => {
        const { pit, at, read } = timer();
        const triggered = mode === 1 || mode === 5;
        at(100);
        if (!triggered) pit.writeByte(0x61, 1);
        program(pit, 2, mode, initial);
        if (triggered) pit.writeByte(0x61, 1);
        counted(mode, initial, 100).forEach(({ out, count }, index) => {
          at(101 + index);
          assert.equal(pit.output(2), out, `OUT after clock ${index + 1} of ${initial}`);
          assert.equal((pit.readByte(0x61) & 0x20) !== 0, out);
          assert.equal(read(0x42, 0x80), count, `count after clock ${index + 1} of ${initial}`);
        });
      }),
      { numRuns: 20 },
    );
  });
}

test('the periodic interrupt does not drift', () => {
  for (const [mode, count] of [
    [2, 11932],
    [3, 1193],
    [2, 65536],
  ] as const) {
    const { time, pit, edges } = timer();
    program(pit, 0, mode, count & 0xffff);
    time.advanceTo(1000 * 1e9);
    const rises = edges.filter(([, level]) => level).map(([tick]) => tick);
    assert.ok(rises.length > 5000);
    rises.forEach((tick, index) => assert.equal(tick, index === 0 ? 0 : 1 + index * count));
    const expected = Number((BigInt(1000) * BigInt(PIT_HERTZ) - 1n) / BigInt(count));
    assert.equal(rises.length, expected + 1);
  }
});

test('mode 0 interrupts once, at N + 1 clocks', () => {
  const { time, pit, edges, at } = timer();
  at(10);
  program(pit, 0, 0, 5);
  time.advance(1e9);
  assert.deepEqual(edges, [[16, true]]);
});

test('mode 4, as a one-shot clock event uses it', () => {
  const { time, pit, edges, at } = timer();
  program(pit, 0, 4, 100);
  time.advance(1e9);
  assert.deepEqual(edges, [
    [0, true],
    [101, false],
    [102, true],
  ]);
  const tick = ticksAt(time.nanoseconds(), PIT_HERTZ);
  pit.writeByte(0x40, 50);
  pit.writeByte(0x40, 0);
  at(tick + 1000);
  assert.deepEqual(edges.slice(3), [
    [tick + 51, false],
    [tick + 52, true],
  ]);
});

test('a new count takes over at the end of a cycle (mode 2) or half cycle (mode 3)', () => {
  // Mode 3: high until 6, then 1 tick low with the new count of 3 (2 high, 1 low).
  for (const [mode, expected] of [
    [2, [11, 14, 17]],
    [3, [7, 10, 13]],
  ] as const) {
    const { pit, edges, at } = timer();
    program(pit, 0, mode, 10);
    at(3);
    pit.writeByte(0x40, 3);
    pit.writeByte(0x40, 0);
    at(18);
    const rises = edges.filter(([tick, level]) => level && tick > 3).map(([tick]) => tick);
    assert.deepEqual(rises.slice(0, 3), expected);
  }
});

test('the gate: stops modes 0 and 4, restarts modes 2 and 3, triggers 1 and 5', () => {
  const stopped = timer();
  stopped.pit.writeByte(0x61, 1);
  program(stopped.pit, 2, 0, 10);
  stopped.at(5); // 4 counted
  stopped.pit.writeByte(0x61, 0);
  stopped.at(500);
  assert.equal(stopped.read(0x42, 0x80), 6);
  stopped.pit.writeByte(0x61, 1);
  stopped.at(505);
  assert.equal(stopped.pit.output(2), false);
  stopped.at(506);
  assert.equal(stopped.pit.output(2), true);

  const restarted = timer();
  restarted.pit.writeByte(0x61, 1);
  program(restarted.pit, 2, 2, 10);
  restarted.at(10); // count 1: OUT low
  assert.equal(restarted.pit.output(2), false);
  restarted.pit.writeByte(0x61, 0);
  assert.equal(restarted.pit.output(2), true);
  restarted.at(200);
  restarted.pit.writeByte(0x61, 1);
  restarted.at(201);
  assert.equal(restarted.read(0x42, 0x80), 10);

  const retriggered = timer();
  program(retriggered.pit, 2, 1, 10);
  retriggered.at(50);
  assert.equal(retriggered.pit.output(2), true, 'not triggered yet');
  retriggered.pit.writeByte(0x61, 1);
  retriggered.at(56);
  retriggered.pit.writeByte(0x61, 0);
  retriggered.pit.writeByte(0x61, 1); // the pulse is now longer
  retriggered.at(66);
  assert.equal(retriggered.pit.output(2), false);
  retriggered.at(67);
  assert.equal(retriggered.pit.output(2), true);
});

test('latched counts stay until they are read, low then high', () => {
  const { pit, at } = timer();
  program(pit, 0, 2, 0x1234);
  at(1);
  pit.writeByte(0x43, 0x00);
  at(200);
  pit.writeByte(0x43, 0x00); // ignored: not yet read
  assert.deepEqual([pit.readByte(0x40), pit.readByte(0x40)], [0x34, 0x12]);
  assert.deepEqual([pit.readByte(0x40), pit.readByte(0x40)], [0x6d, 0x11]);
});

test('a latched count of zero is a latched count', () => {
  const { pit, at } = timer();
  program(pit, 0, 0, 5);
  at(6);
  pit.writeByte(0x43, 0x00);
  at(7);
  assert.deepEqual([pit.readByte(0x40), pit.readByte(0x40)], [0, 0]);
  assert.deepEqual([pit.readByte(0x40), pit.readByte(0x40)], [0xff, 0xff]);
});

test('read-back: status first, then count; null count until loaded', () => {
  const { pit, at } = timer();
  at(7);
  pit.writeByte(0x43, 0xb6);
  pit.writeByte(0x43, 0xe8);
  assert.equal(pit.readByte(0x42), 0xf6);
  pit.writeByte(0x61, 1);
  pit.writeByte(0x42, 0x10);
  pit.writeByte(0x42, 0x00);
  at(8);
  pit.writeByte(0x43, 0xc8);
  assert.deepEqual([pit.readByte(0x42), pit.readByte(0x42), pit.readByte(0x42)], [0xb6, 0x10, 0]);
});

test('one byte only, and counting in decimal', () => {
  const { pit, at, read } = timer();
  pit.writeByte(0x43, 0x24); // channel 0, high byte, mode 2
  pit.writeByte(0x40, 2);
  at(1);
  assert.equal(pit.readByte(0x40), 2);
  at(2);
  assert.equal(pit.readByte(0x40), 1);
  program(pit, 0, 2, 0x0100, 1);
  at(3);
  assert.equal(read(0x40, 0x00), 0x0100);
  at(4);
  assert.equal(read(0x40, 0x00), 0x0099);
  program(pit, 0, 0, 0x0000, 1);
  at(6);
  assert.equal(read(0x40, 0x00), 0x9999);
});

test('port 61h: bits that are kept, the refresh toggle', () => {
  const { pit, at } = timer();
  pit.writeByte(0x61, 0xff);
  assert.equal(pit.readByte(0x61) & 0xcf, 0x0f);
  const toggles = Array.from({ length: 180 }, (_, tick) => {
    at(tick);
    return pit.readByte(0x61) & 0x10;
  });
  assert.equal(toggles.filter((bit, index) => index > 0 && bit !== toggles[index - 1]).length, 9);
});

test('restored, it interrupts at the same times', () => {
  const one = timer();
  program(one.pit, 0, 3, 1001);
  one.at(12_345);
  one.pit.writeByte(0x40, 0x77);
  one.pit.writeByte(0x40, 0x01);
  const two = timer();
  two.time.jumpTo(one.time.nanoseconds());
  two.pit.restore(one.pit.save());
  const from = one.edges.length;
  one.at(100_000);
  two.at(100_000);
  assert.ok(two.edges.length > 100);
  const tail = (edges: [number, boolean][]): number[] => edges.map(([tick]) => tick).slice(-100);
  assert.deepEqual(tail(one.edges.slice(from)), tail(two.edges));
});
