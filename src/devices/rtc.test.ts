// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualTime } from './manual-time.ts';
import { nextAlarm, readCalendar, writeCalendar } from './rtc-calendar.ts';
import { Rtc } from './rtc.ts';

const SECOND = 1_000_000_000;
/** Thursday, 29 February 2024, 23:59:50 UTC. */
const START = Date.UTC(2024, 1, 29, 23, 59, 50) / 1000;

function clock(startTime = START) {
  const time = new ManualTime();
  const raised: number[] = [];
  let level = false;
  const line = {
    set(asserted: boolean) {
      if (asserted && !level) raised.push(time.nanoseconds());
      level = asserted;
    },
  };
  const rtc = new Rtc(time, line, { startTime });
  const read = (index: number): number => {
    rtc.writeByte(0x70, index);
    return rtc.readByte(0x71);
  };
  const write = (index: number, value: number): void => {
    rtc.writeByte(0x70, index);
    rtc.writeByte(0x71, value);
  };
  const now = (): number[] => [0x32, 9, 8, 7, 6, 4, 2, 0].map(read);
  return { time, rtc, read, write, now, raised, asserted: () => level };
}

test('the start time, and midnight on a leap day', () => {
  const { time, now } = clock();
  assert.deepEqual(now(), [0x20, 0x24, 0x02, 0x29, 0x05, 0x23, 0x59, 0x50]);
  time.advanceTo(10 * SECOND - 1);
  assert.deepEqual(now(), [0x20, 0x24, 0x02, 0x29, 0x05, 0x23, 0x59, 0x59]);
  time.advanceTo(10 * SECOND);
  assert.deepEqual(now(), [0x20, 0x24, 0x03, 0x01, 0x06, 0x00, 0x00, 0x00]);
});

test('binary and 12-hour formats', () => {
  const { read, write } = clock();
  write(0x0b, 0x06);
  assert.deepEqual([read(4), read(2), read(9)], [23, 59, 24]);
  write(0x0b, 0x00);
  assert.equal(read(4), 0x91);
  write(0x0b, 0x04);
  assert.equal(read(4), 0x80 | 11);
});

test('every time survives registers in every format', () => {
  const seconds = fc.integer({ min: 0, max: 4_102_444_799 });
  fc.assert(
    fc.property(seconds, fc.boolean(), fc.boolean(), (time, binary, hours24) => {
      const cmos = new Uint8Array(128);
      writeCalendar(cmos, time, { binary, hours24 });
      assert.equal(readCalendar(cmos, { binary, hours24 }), time);
    }),
  );
});

test('setting the time: SET freezes, the seconds go on from what was written', () => {
  const { time, read, write, now } = clock();
  time.advanceTo(0.3 * SECOND);
  write(0x0b, 0x82);
  const values = [
    [0x32, 0x19],
    [9, 0x99],
    [8, 0x12],
    [7, 0x31],
    [4, 0x23],
    [2, 0x59],
    [0, 0x58],
  ] as const;
  for (const [index, value] of values) write(index, value);
  time.advanceTo(5.3 * SECOND);
  assert.equal(read(0), 0x58);
  assert.equal(read(0x0c) & 0x10, 0, 'no update while SET');
  write(0x0b, 0x02);
  time.advanceTo(6 * SECOND);
  assert.equal(read(0), 0x59);
  time.advanceTo(7 * SECOND);
  assert.deepEqual(now(), [0x20, 0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00]);
});

test('writing one register without SET', () => {
  const { read, write, time } = clock();
  write(2, 0x07);
  time.advance(9 * SECOND);
  assert.deepEqual([read(4), read(2), read(0)], [0x23, 0x07, 0x59]);
});

test('the divider reset: the first update comes half a second later', () => {
  const { time, read, write } = clock();
  time.advanceTo(0.9 * SECOND);
  write(0x0a, 0x66);
  time.advanceTo(60 * SECOND);
  assert.equal(read(0), 0x50);
  write(0x0a, 0x26);
  time.advanceTo(60.5 * SECOND - 1);
  assert.equal(read(0), 0x50);
  time.advanceTo(60.5 * SECOND);
  assert.equal(read(0), 0x51);
});

test('update in progress is up for 2228 us before each second', () => {
  const { time, read, write } = clock();
  const up = (at: number): boolean => {
    time.advanceTo(at);
    return (read(0x0a) & 0x80) !== 0;
  };
  assert.equal(up(SECOND - 2_228_001), false);
  assert.equal(up(SECOND - 2_228_000), true);
  assert.equal(up(SECOND - 1), true);
  assert.equal(up(SECOND), false);
  write(0x0b, 0x82);
  assert.equal(up(2 * SECOND - 1), false);
});

test('the update interrupt comes each second, once register C was read', () => {
  const { time, read, write, raised, asserted } = clock();
  write(0x0b, 0x12);
  time.advanceTo(3.5 * SECOND);
  assert.deepEqual(raised, [SECOND]);
  assert.equal(asserted(), true);
  assert.equal(read(0x0c), 0x80 | 0x40 | 0x10);
  assert.equal(asserted(), false);
  assert.equal(read(0x0c), 0);
  time.advanceTo(4 * SECOND);
  assert.deepEqual(raised, [SECOND, 4 * SECOND]);
});

test('flags come without interrupts, for who polls', () => {
  const { time, read, write, raised } = clock();
  write(0x0a, 0x20);
  assert.equal(read(0x0c), 0);
  time.advanceTo(SECOND);
  assert.equal(read(0x0c), 0x10);
  assert.deepEqual(raised, []);
});

test('the periodic interrupt does not drift', () => {
  for (const [rate, hertz] of [
    [6, 1024],
    [1, 256],
    [2, 128],
    [15, 2],
    [3, 8192],
  ] as const) {
    const { time, read, write, raised, asserted } = clock();
    write(0x0a, 0x20 | rate);
    write(0x0b, 0x42);
    while (time.nextDeadline() <= 3 * SECOND) {
      time.advanceTo(time.nextDeadline());
      assert.equal(asserted(), true);
      read(0x0c);
    }
    assert.equal(raised.length, 3 * hertz);
    raised.forEach((at, index) => {
      const exact = (BigInt(index + 1) * 1_000_000_000n + BigInt(hertz) - 1n) / BigInt(hertz);
      assert.equal(BigInt(at), exact);
    });
  }
});

test('the alarm: exact time, don’t-care fields, only when enabled', () => {
  const cases = [
    // hours, minutes, seconds, expected seconds from the start at 23:59:50
    [0x00, 0x00, 0x05, 15],
    [0xff, 0xff, 0x55, 5],
    [0xff, 0xff, 0x59, 9],
    [0xc0, 0x59, 0xc0, 1],
    [0xff, 0x01, 0x00, 70],
    [0xff, 0xff, 0xff, 1],
    [0x23, 0x59, 0x50, 86_400],
  ] as const;
  for (const [hours, minutes, seconds, expected] of cases) {
    const { time, read, write, raised } = clock();
    write(5, hours);
    write(3, minutes);
    write(1, seconds);
    write(0x0b, 0x22);
    time.advance(86_400 * SECOND);
    assert.equal(raised[0], expected * SECOND);
    assert.equal(read(0x0c) & 0xa0, 0xa0);
  }
  for (const [register, value] of [
    [5, 0x24],
    [3, 0x60],
    [1, 0x60],
  ] as const) {
    const { time, write, raised } = clock();
    for (const alarm of [1, 3, 5]) write(alarm, 0xff);
    write(register, value);
    write(0x0b, 0x22);
    time.advance(2 * 86_400 * SECOND);
    assert.deepEqual(raised, [], 'a time that never comes');
  }
});

test('the next alarm agrees with trying every second', () => {
  const field = (limit: number) => fc.oneof(fc.integer({ min: 0, max: limit - 1 }), fc.constant(0xff));
  const format = { binary: true, hours24: true };
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e9 }), field(24), field(60), field(60), (from, hour, minute, second) => {
      const cmos = new Uint8Array(128);
      [cmos[5], cmos[3], cmos[1]] = [hour, minute, second];
      const fits = (value: number, alarm: number): boolean => alarm === 0xff || alarm === value;
      let expected = from + 1;
      for (; ; expected++) {
        const date = new Date(expected * 1000);
        if (fits(date.getUTCHours(), hour) && fits(date.getUTCMinutes(), minute) && fits(date.getUTCSeconds(), second))
          break;
      }
      assert.equal(nextAlarm(cmos, from, format), expected);
    }),
    { numRuns: 20 },
  );
});

test('enabling an interrupt whose flag is set requests at once', () => {
  const { time, write, asserted } = clock();
  time.advanceTo(SECOND);
  write(0x0b, 0x12);
  assert.equal(asserted(), true);
});

test('registers A, C and D keep what software may not write; SET clears UIE', () => {
  const { read, write } = clock();
  write(0x0a, 0xff & ~0x60);
  assert.equal(read(0x0a), 0x1f);
  write(0x0c, 0xff);
  write(0x0d, 0);
  assert.equal(read(0x0c), 0);
  assert.equal(read(0x0d), 0x80);
  write(0x0b, 0x92);
  assert.equal(read(0x0b), 0x82);
});

test('CMOS RAM keeps what firmware left and what software writes', () => {
  const { rtc, read, write } = clock();
  rtc.preset(0x15, 0x80);
  rtc.preset(0x16, 0x02);
  assert.deepEqual([read(0x15), read(0x16), read(0x17)], [0x80, 0x02, 0]);
  write(0x40, 0x77);
  assert.equal(read(0x80 | 0x40), 0x77, 'bit 7 of the index masks NMI');
});

test('reset stops interrupts, not the time; restored it interrupts at the same time', () => {
  const one = clock();
  one.write(0x0b, 0x12);
  one.time.advanceTo(0.5 * SECOND);
  const two = clock(0);
  two.time.jumpTo(one.time.nanoseconds());
  two.rtc.restore(one.rtc.save());
  one.time.advanceTo(2 * SECOND);
  two.time.advanceTo(2 * SECOND);
  assert.deepEqual(two.raised, [SECOND]);
  assert.deepEqual(two.now(), one.now());
  one.rtc.reset();
  assert.equal(one.asserted(), false);
  assert.deepEqual(two.now(), one.now());
});
