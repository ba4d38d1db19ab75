// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoApic } from './ioapic.ts';
import { ApicBench } from './lapic.testing.ts';

function board(processors = 1, version: 0x11 | 0x20 = 0x20) {
  const bench = new ApicBench(processors).enable();
  const ioApic = new IoApic(bench.bus, { version });
  const read = (register: number): number => {
    ioApic.writeMemory(0, 4, register);
    return ioApic.readMemory(0x10, 4);
  };
  const write = (register: number, value: number): void => {
    ioApic.writeMemory(0, 4, register);
    ioApic.writeMemory(0x10, 4, value);
  };
  const entry = (pin: number, low: number, destination = 0): void => {
    write(0x11 + 2 * pin, (destination << 24) >>> 0);
    write(0x10 + 2 * pin, low);
  };
  const apic = bench.apics[0];
  const end = (): void => apic.writeMemory(0xb0, 4, 0);
  return { bench, ioApic, apic, read, write, entry, end };
}

test('identification and reset values', () => {
  for (const version of [0x11, 0x20] as const) {
    const { read, write } = board(1, version);
    assert.equal(read(1), 0x0017_0000 | version);
    write(0, 0xff00_0000);
    assert.deepEqual([read(0), read(2)], [0x0f00_0000, 0x0f00_0000]);
    for (let pin = 0; pin < 24; pin++) assert.deepEqual([read(0x10 + 2 * pin), read(0x11 + 2 * pin)], [0x1_0000, 0]);
    assert.equal(read(0x40), 0);
    write(0x10, 0xffff_ffff);
    write(0x11, 0xffff_ffff);
    assert.deepEqual([read(0x10), read(0x11)], [0x0001_afff, 0xff00_0000]);
  }
});

test('edge: one interrupt for each rise; lost while masked', () => {
  const { ioApic, apic, entry, end } = board();
  entry(4, 0x34);
  ioApic.setPin(4, true);
  ioApic.setPin(4, true);
  assert.equal(apic.acknowledge(), 0x34);
  end();
  assert.equal(apic.pendingVector(), -1);
  ioApic.setPin(4, false);
  ioApic.setPin(4, true);
  assert.equal(apic.acknowledge(), 0x34);
  end();
  entry(4, 0x1_0034);
  ioApic.setPin(4, false);
  ioApic.setPin(4, true);
  entry(4, 0x34);
  assert.equal(apic.pendingVector(), -1);
});

test('level: remote IRR holds back until EOI, which triggers again', () => {
  const { ioApic, apic, entry, read, end } = board();
  entry(16, 0x8050);
  ioApic.setPin(16, true);
  assert.equal(read(0x30), 0xc050);
  assert.equal(apic.acknowledge(), 0x50);
  assert.equal(apic.pendingVector(), -1);
  ioApic.setPin(16, false);
  ioApic.setPin(16, true);
  assert.equal(apic.pendingVector(), -1, 'not before the EOI');
  end();
  assert.equal(apic.acknowledge(), 0x50, 'still asserted');
  ioApic.setPin(16, false);
  end();
  assert.equal(apic.pendingVector(), -1);
  assert.equal(read(0x30), 0x8050);
});

test('level: masked, it waits; remote IRR cannot be written', () => {
  const { ioApic, apic, entry, read, end } = board();
  entry(16, 0x1_8050);
  ioApic.setPin(16, true);
  assert.equal(apic.pendingVector(), -1);
  entry(16, 0x8050);
  assert.equal(apic.acknowledge(), 0x50);
  entry(16, 0x1_8050);
  assert.equal(read(0x30), 0x1_c050, 'remote IRR is kept');
  end();
  assert.equal(read(0x30), 0x1_8050);
  entry(16, 0x1_c050);
  assert.equal(read(0x30), 0x1_8050, 'and not set');
});

test('an entry made edge triggered loses remote IRR, as software without an EOI register needs', () => {
  const { ioApic, apic, entry, read } = board(1, 0x11);
  entry(16, 0x8050);
  ioApic.setPin(16, true);
  apic.acknowledge();
  entry(16, 0x1_0050);
  assert.equal(read(0x30), 0x1_0050);
  entry(16, 0x8051);
  assert.equal(apic.pendingVector(), -1, 'the same class is in service');
  apic.writeMemory(0xb0, 4, 0);
  assert.equal(apic.acknowledge(), 0x51);
});

test('the EOI register ends one vector, from version 20h', () => {
  for (const [version, again] of [
    [0x20, true],
    [0x11, false],
  ] as const) {
    const { ioApic, apic, entry, read } = board(1, version);
    entry(16, 0x8050);
    ioApic.setPin(16, true);
    apic.acknowledge();
    ioApic.setPin(16, false);
    ioApic.writeMemory(0x40, 4, 0x51);
    assert.equal(read(0x30), 0xc050);
    ioApic.writeMemory(0x40, 4, 0x50);
    assert.equal(read(0x30), again ? 0x8050 : 0xc050);
  }
});

test('an EOI of an edge-triggered interrupt of the same vector ends no level', () => {
  const { bench, ioApic, apic, entry, read, end } = board(2);
  entry(16, 0x8050, 1);
  ioApic.setPin(16, true);
  assert.deepEqual(bench.requested(0x50), [1]);
  apic.writeMemory(0x300, 4, 0x4_0050);
  assert.equal(apic.acknowledge(), 0x50);
  end();
  assert.equal(read(0x30), 0xc050);
});

test('destinations and delivery modes', () => {
  const { bench, ioApic, entry } = board(3);
  const pulse = (pin: number): void => {
    ioApic.setPin(pin, true);
    ioApic.setPin(pin, false);
  };
  entry(1, 0x61, 2);
  pulse(1);
  assert.deepEqual(bench.requested(0x61), [2]);
  bench.apics.forEach((each, position) => each.writeMemory(0xd0, 4, (1 << (24 + position)) >>> 0));
  entry(2, 0x862, 0b101);
  pulse(2);
  assert.deepEqual(bench.requested(0x62), [0, 2]);
  entry(3, 0x963, 0b110);
  pulse(3);
  pulse(3);
  assert.deepEqual(bench.requested(0x63), [1, 2], 'lowest priority, in turns');
  entry(4, 0x400, 1);
  pulse(4);
  entry(5, 0x500, 0xff);
  pulse(5);
  entry(6, 0x8400, 1); // level makes no sense for NMI
  pulse(6);
  assert.deepEqual(bench.signals, ['nmi 1', 'init 0', 'init 1', 'init 2', 'nmi 1']);
  entry(7, 0x700, 1);
  pulse(7);
  assert.equal(bench.apics[1].externalInterruptPending, true);
  assert.equal(bench.apics[1].acknowledge(), 0x20);
  assert.equal(bench.apics[1].externalInterruptPending, false);
});

test('a level that nobody could take is delivered when somebody can', () => {
  const { bench, ioApic, apic, entry, read } = board(1);
  apic.writeMemory(0xf0, 4, 0xff);
  entry(16, 0x8050);
  ioApic.setPin(16, true);
  assert.equal(read(0x30), 0x8050);
  bench.enable();
  assert.equal(read(0x30), 0xc050);
  assert.equal(apic.acknowledge(), 0x50);
});

test('narrow access', () => {
  const { ioApic } = board();
  ioApic.writeMemory(0, 1, 1);
  assert.equal(ioApic.readMemory(0, 1), 1);
  assert.equal(ioApic.readMemory(0x12, 2), 0x17);
  ioApic.writeMemory(0, 1, 0x10);
  ioApic.writeMemory(0x10, 2, 0);
  assert.equal(ioApic.readMemory(0x10, 4), 0x1_0000);
});

test('restored, the level in flight is still in flight', () => {
  const one = board();
  one.entry(16, 0x8050);
  one.ioApic.setPin(16, true);
  const two = board();
  two.ioApic.restore(one.ioApic.save());
  two.apic.restore(one.apic.save());
  assert.equal(two.apic.acknowledge(), 0x50);
  two.end();
  assert.equal(two.apic.pendingVector(), 0x50);
  two.ioApic.reset();
  assert.equal(two.read(0x30), 0x1_0000);
});
