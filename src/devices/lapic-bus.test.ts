// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApicBench } from './lapic.testing.ts';
import type { LocalApic } from './lapic.ts';

/** Writes the ICR in xAPIC mode. */
function send(apic: LocalApic, command: number, destination = 0): void {
  apic.writeMemory(0x310, 4, (destination << 24) >>> 0);
  apic.writeMemory(0x300, 4, command);
}
const logicalIds = (bench: ApicBench, ids: readonly number[], format = 0xffff_ffff): void =>
  bench.apics.forEach((apic, position) => {
    apic.writeMemory(0xe0, 4, format);
    apic.writeMemory(0xd0, 4, (ids[position] << 24) >>> 0);
  });

test('physical destinations and broadcast', () => {
  const bench = new ApicBench(4).enable();
  send(bench.apics[0], 0x40, 2);
  assert.deepEqual(bench.requested(0x40), [2]);
  send(bench.apics[0], 0x41, 0xff);
  assert.deepEqual(bench.requested(0x41), [0, 1, 2, 3]);
  send(bench.apics[0], 0x42, 9);
  assert.deepEqual(bench.requested(0x42), []);
});

test('shorthands: self, all, all but self', () => {
  const bench = new ApicBench(3).enable();
  send(bench.apics[1], 0x4_0050, 2);
  send(bench.apics[1], 0x8_0051, 2);
  send(bench.apics[1], 0xc_0052, 2);
  assert.deepEqual(
    [0x50, 0x51, 0x52].map((vector) => bench.requested(vector)),
    [[1], [0, 1, 2], [0, 2]],
  );
});

test('logical destinations: flat model', () => {
  const bench = new ApicBench(4).enable();
  logicalIds(bench, [1, 2, 4, 8]);
  send(bench.apics[0], 0x840, 0b0110);
  assert.deepEqual(bench.requested(0x40), [1, 2]);
  logicalIds(bench, [0x11, 0x12, 0x21, 0x22]);
  send(bench.apics[0], 0x841, 0x10);
  assert.deepEqual(bench.requested(0x41), [0, 1]);
});

test('logical destinations: cluster model', () => {
  const bench = new ApicBench(4).enable();
  logicalIds(bench, [0x11, 0x12, 0x21, 0x22], 0x0fff_ffff);
  send(bench.apics[0], 0x840, 0x23);
  assert.deepEqual(bench.requested(0x40), [2, 3]);
  send(bench.apics[0], 0x841, 0x12);
  assert.deepEqual(bench.requested(0x41), [1]);
  send(bench.apics[0], 0x842, 0xff);
  assert.deepEqual(bench.requested(0x42), [0, 1, 2, 3]);
});

test('x2APIC destinations: 32-bit physical, cluster and bit', () => {
  const bench = new ApicBench(4, {}, [0x00, 0x0f, 0x10, 0x1ff]).enable().x2apic();
  const [apic] = bench.apics;
  apic.writeMsr(0x830, 0x40, 0x1ff);
  assert.deepEqual(bench.requested(0x40), [3]);
  apic.writeMsr(0x830, 0x41, 0xff);
  assert.deepEqual(bench.requested(0x41), [], '0FFh is nobody in particular here');
  apic.writeMsr(0x830, 0x42, 0xffff_ffff);
  assert.deepEqual(bench.requested(0x42), [0, 1, 2, 3]);
  apic.writeMsr(0x830, 0x843, 0x8001);
  assert.deepEqual(bench.requested(0x43), [0, 1]);
  apic.writeMsr(0x830, 0x844, 0x1f_8000);
  assert.deepEqual(bench.requested(0x44), [3]);
});

test('INIT, start-up and NMI; INIT level de-assert does nothing', () => {
  const bench = new ApicBench(2);
  send(bench.apics[0], 0x0c500, 1);
  send(bench.apics[0], 0x08500, 1);
  send(bench.apics[0], 0x0469a, 1);
  send(bench.apics[0], 0x4400, 1);
  send(bench.apics[0], 0xc_4500);
  assert.deepEqual(bench.signals, ['init 1', 'startup 1 9a', 'nmi 1', 'init 1']);
});

test('SMI, ExtINT and reserved modes as IPIs interrupt nobody', () => {
  const bench = new ApicBench(2).enable();
  for (const mode of [2, 3, 7]) send(bench.apics[0], 0x40 | (mode << 8), 1);
  assert.deepEqual(bench.requested(0x40), []);
  assert.equal(bench.apics[1].interruptPending(), false);
  assert.deepEqual(bench.signals, []);
});

test('lowest priority: one winner, the lowest processor priority, turns among equals', () => {
  const bench = new ApicBench(4).enable();
  logicalIds(bench, [1, 2, 4, 8]);
  const winners = (destination: number, times: number): number[] =>
    Array.from({ length: times }, () => {
      send(bench.apics[0], 0x9a0, destination);
      const [winner, ...others] = bench.requested(0xa0);
      assert.deepEqual(others, []);
      bench.apics[winner].state.registers[0x25] = 0;
      return winner;
    });
  assert.deepEqual(winners(0x0f, 5), [0, 1, 2, 3, 0]);
  assert.deepEqual(winners(0b1010, 4), [1, 3, 1, 3]);
  bench.apics.forEach((apic, position) => (apic.taskPriority = [0x40, 0x30, 0x20, 0x30][position]));
  assert.deepEqual(winners(0x0f, 3), [2, 2, 2]);
  assert.deepEqual(winners(0b1001, 2), [3, 3]);
  bench.apics[2].writeMemory(0xf0, 4, 0xff);
  const afterwards = winners(0x0f, 2);
  assert.deepEqual(new Set(afterwards), new Set([1, 3]), 'one that is disabled takes no part');
});

test('lowest priority is decided by the interrupt in service as well', () => {
  const bench = new ApicBench(2).enable();
  send(bench.apics[0], 0x80, 0);
  bench.apics[0].acknowledge();
  send(bench.apics[0], 0x190, 0xff);
  assert.deepEqual(bench.requested(0x90), [1]);
});

test('turns survive a snapshot', () => {
  const bench = new ApicBench(2).enable();
  const saved = bench.bus.save();
  for (let round = 0; round < 2; round++) {
    send(bench.apics[0], 0x190, 0xff);
    assert.deepEqual(bench.requested(0x90), [0]);
    bench.apics[0].state.registers[0x24] = 0;
    bench.bus.restore(saved);
  }
});
