// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApicBench } from './lapic.testing.ts';
import { divisorOf } from './lapic-timer.ts';
import { type LocalApic, MSR_APIC_BASE, MSR_TSC_DEADLINE } from './lapic.ts';

const VECTOR = 0xec;
const ONE_SHOT = VECTOR;
const PERIODIC = 0x2_0000 | VECTOR;
const TSC_DEADLINE = 0x4_0000 | VECTOR;

function bench(options = {}) {
  const all = new ApicBench(1, options).enable();
  const apic = all.apics[0];
  apic.writeMemory(0x3e0, 4, 0xb); // divide by 1
  return { all, apic, time: all.time };
}

/** Runs to the given time and gives the times at which the timer's interrupt came; each is taken and ended. */
function interrupts(all: ApicBench, apic: LocalApic, until: number): number[] {
  const times: number[] = [];
  for (;;) {
    const next = all.time.nextDeadline();
    if (next > until) break;
    all.time.advanceTo(next);
    if (apic.pendingVector() !== VECTOR) continue;
    times.push(all.time.nanoseconds());
    apic.acknowledge();
    apic.writeMemory(0xb0, 4, 0);
  }
  all.time.advanceTo(until);
  return times;
}

test('the divide configuration', () => {
  const values = [0, 1, 2, 3, 8, 9, 10, 11];
  assert.deepEqual(values.map(divisorOf), [2, 4, 8, 16, 32, 64, 128, 1]);
});

test('one-shot: fires once, counts down, stays 0', () => {
  const { all, apic, time } = bench();
  time.advanceTo(50);
  apic.writeMemory(0x320, 4, ONE_SHOT);
  apic.writeMemory(0x3e0, 4, 0x3); // 16
  apic.writeMemory(0x380, 4, 100);
  time.advance(16 * 30 + 15);
  assert.equal(apic.readMemory(0x390, 4), 70);
  assert.deepEqual(interrupts(all, apic, 1e6), [50 + 1600]);
  assert.equal(apic.readMemory(0x390, 4), 0);
  assert.equal(apic.readMemory(0x380, 4), 100);
});

test('periodic: no drift, whoever looks late', () => {
  const { all, apic, time } = bench();
  time.advanceTo(7);
  apic.writeMemory(0x320, 4, PERIODIC);
  apic.writeMemory(0x380, 4, 999_999);
  const times = interrupts(all, apic, 2e9);
  assert.equal(times.length, 2000);
  times.forEach((at, index) => assert.equal(at, 7 + (index + 1) * 999_999));
  const base = 7 + 2000 * 999_999;
  time.jumpTo(base + 3.5 * 999_999); // nobody called for three and a half periods
  assert.deepEqual(
    interrupts(all, apic, base + 5 * 999_999),
    [3.5, 4, 5].map((periods) => base + periods * 999_999),
  );
  time.advance(1000);
  assert.equal(apic.readMemory(0x390, 4), 998_999);
});

test('a count of zero stops it, a masked entry keeps it counting', () => {
  const { all, apic } = bench();
  apic.writeMemory(0x320, 4, PERIODIC | 0x1_0000);
  apic.writeMemory(0x380, 4, 1000);
  assert.deepEqual(interrupts(all, apic, 2500), []);
  assert.equal(apic.readMemory(0x390, 4), 500);
  apic.writeMemory(0x320, 4, PERIODIC);
  assert.deepEqual(interrupts(all, apic, 4500), [3000, 4000]);
  apic.writeMemory(0x380, 4, 0);
  assert.deepEqual(interrupts(all, apic, 9000), []);
  assert.equal(all.time.nextDeadline(), Infinity);
});

test('another divisor slows what is left', () => {
  const { all, apic, time } = bench();
  apic.writeMemory(0x320, 4, ONE_SHOT);
  apic.writeMemory(0x380, 4, 1000);
  time.advanceTo(400);
  apic.writeMemory(0x3e0, 4, 0x0);
  assert.equal(apic.readMemory(0x390, 4), 600);
  assert.deepEqual(interrupts(all, apic, 1e5), [400 + 1200]);
});

test('from one-shot to periodic the running count goes on', () => {
  const { all, apic, time } = bench();
  apic.writeMemory(0x320, 4, ONE_SHOT);
  apic.writeMemory(0x380, 4, 1000);
  time.advanceTo(400);
  apic.writeMemory(0x320, 4, PERIODIC);
  assert.deepEqual(interrupts(all, apic, 3000), [1000, 2000, 3000]);
});

test('TSC deadline: the first nanosecond at which the counter is there', () => {
  const { all, apic } = bench();
  apic.writeMemory(0x320, 4, TSC_DEADLINE);
  assert.equal(apic.writeMsr(MSR_TSC_DEADLINE, 2001, 0), true);
  assert.equal(apic.readMsr(MSR_TSC_DEADLINE), true);
  assert.equal(apic.low, 2001);
  assert.equal(apic.readMemory(0x390, 4), 0);
  assert.deepEqual(interrupts(all, apic, 5000), [1001]);
  apic.readMsr(MSR_TSC_DEADLINE);
  assert.equal(apic.low, 0, 'disarmed');
  apic.writeMsr(MSR_TSC_DEADLINE, 0, 2);
  assert.deepEqual(interrupts(all, apic, 2 ** 32), [2 ** 32]);
});

test('TSC deadline: past fires at once, zero disarms, a moved counter moves it', () => {
  const { all, apic, time } = bench();
  apic.writeMemory(0x320, 4, TSC_DEADLINE);
  time.advanceTo(1000);
  apic.writeMsr(MSR_TSC_DEADLINE, 2000, 0);
  assert.equal(apic.acknowledge(), VECTOR);
  apic.writeMemory(0xb0, 4, 0);
  apic.writeMsr(MSR_TSC_DEADLINE, 9000, 0);
  apic.writeMsr(MSR_TSC_DEADLINE, 0, 0);
  assert.deepEqual(interrupts(all, apic, 9000), []);
  apic.writeMsr(MSR_TSC_DEADLINE, 40_000, 0);
  all.tscOffset = 10_000;
  apic.tscChanged();
  assert.deepEqual(interrupts(all, apic, 90_000), [15_000]);
  apic.tscChanged();
  assert.deepEqual(interrupts(all, apic, 99_000), []);
});

test('TSC deadline: ignored in other modes, disarmed by a change of mode, absent without the feature', () => {
  const { all, apic } = bench();
  apic.writeMsr(MSR_TSC_DEADLINE, 2000, 0);
  apic.readMsr(MSR_TSC_DEADLINE);
  assert.equal(apic.low, 0);
  apic.writeMemory(0x320, 4, TSC_DEADLINE);
  apic.writeMsr(MSR_TSC_DEADLINE, 2000, 0);
  apic.writeMemory(0x380, 4, 100);
  assert.equal(apic.readMemory(0x380, 4), 0, 'no initial count in this mode');
  apic.writeMemory(0x320, 4, ONE_SHOT);
  apic.readMsr(MSR_TSC_DEADLINE);
  assert.equal(apic.low, 0);
  assert.deepEqual(interrupts(all, apic, 1e6), []);
  const [without] = new ApicBench(1, { tscDeadline: false }).enable().apics;
  assert.equal(without.readMsr(MSR_TSC_DEADLINE), false);
  assert.equal(without.writeMsr(MSR_TSC_DEADLINE, 1, 0), false);
  without.writeMemory(0x320, 4, 0x7_00ff);
  assert.equal(without.readMemory(0x320, 4), 0x3_00ff);
});

test('disabled globally it stops; restored it fires at the same time', () => {
  const { all, apic, time } = bench();
  apic.writeMemory(0x320, 4, PERIODIC);
  apic.writeMemory(0x380, 4, 1000);
  time.advanceTo(300);
  const other = bench();
  other.time.jumpTo(300);
  other.apic.restore(apic.save());
  assert.deepEqual(interrupts(other.all, other.apic, 2500), [1000, 2000]);
  apic.writeMsr(MSR_APIC_BASE, 0xfee0_0100, 0);
  assert.equal(all.time.nextDeadline(), Infinity);
});
