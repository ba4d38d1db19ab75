// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InterruptWiring } from './interrupt-router.ts';
import { IoApic } from './ioapic.ts';
import { ApicBench } from './lapic.testing.ts';
import { Pic } from './pic.ts';

function board(processors = 1) {
  const bench = new ApicBench(processors).enable();
  const ioApic = new IoApic(bench.bus);
  const pic = new Pic();
  return { bench, ioApic, pic, wiring: new InterruptWiring(pic, ioApic, bench.bus) };
}
const pins = (ioApic: IoApic): number[] => [...ioApic.state.pins.keys()].filter((pin) => ioApic.state.pins[pin] !== 0);
const inputs = (pic: Pic): number[] => pic.state.chips.map((chip) => chip.inputs);

test('ISA lines reach both controllers, IRQ 0 at pin 2', () => {
  const { ioApic, pic, wiring } = board();
  pic.writeByte(0x21, 0xff);
  const line0 = wiring.isaLine(0);
  line0.set(true);
  assert.deepEqual([pins(ioApic), inputs(pic)], [[2], [0x01, 0]]);
  wiring.isaLine(12).set(true);
  assert.deepEqual(
    [pins(ioApic), inputs(pic)],
    [
      [2, 12],
      [0x05, 0x10],
    ],
  );
  line0.set(false);
  assert.deepEqual(pins(ioApic), [12]);
});

test('global system interrupts: below 16 the ISA wire, above the I/O APIC only', () => {
  const { ioApic, pic, wiring } = board();
  pic.writeByte(0x21, 0xff);
  wiring.gsiLine(11).set(true);
  wiring.gsiLine(2).set(true);
  wiring.gsiLine(23).set(true);
  assert.deepEqual(
    [pins(ioApic), inputs(pic)],
    [
      [2, 11, 23],
      [0x05, 0x08],
    ],
  );
  assert.throws(() => wiring.gsiLine(24), /no global system interrupt 24/);
  assert.throws(() => wiring.isaLine(2), /no ISA interrupt 2/);
});

test('a shared wire is asserted while anybody asserts it', () => {
  const { ioApic, pic, wiring } = board();
  pic.writeByte(0x21, 0xff);
  const [one, two, isa] = [wiring.gsiLine(10), wiring.gsiLine(10), wiring.isaLine(10)];
  one.set(true);
  one.set(true);
  two.set(true);
  isa.set(true);
  one.set(false);
  two.set(false);
  assert.deepEqual(pins(ioApic), [10]);
  isa.set(false);
  assert.deepEqual(pins(ioApic), []);
  one.set(false);
  assert.deepEqual(pins(ioApic), []);
});

test('the 8259A pair through LINT0, and through pin 0', () => {
  const { bench, ioApic, pic, wiring } = board(2);
  bench.apics[0].enterVirtualWireMode();
  const line = wiring.isaLine(4);
  line.set(true);
  assert.equal(bench.apics[0].externalInterruptPending, true);
  assert.equal(bench.apics[1].externalInterruptPending, false);
  assert.deepEqual(pins(ioApic), [0, 4]);
  line.set(false);
  assert.equal(bench.apics[0].interruptPending(), false);
  ioApic.writeMemory(0, 4, 0x11);
  ioApic.writeMemory(0x10, 4, 0x0100_0000);
  ioApic.writeMemory(0, 4, 0x10);
  ioApic.writeMemory(0x10, 4, 0x700);
  line.set(true);
  assert.equal(bench.apics[1].externalInterruptPending, true);
  pic.acknowledge();
  assert.deepEqual(pins(ioApic), [4]);
});

test('NMI through LINT1', () => {
  const { bench, wiring } = board(2);
  bench.apics[1].enterVirtualWireMode();
  wiring.nmiLine().set(true);
  assert.deepEqual(bench.signals, ['nmi 1']);
});

test('messages: destination, mode, redirection hint, trigger', () => {
  const { bench, wiring } = board(3);
  bench.apics.forEach((apic, position) => apic.writeMemory(0xd0, 4, (1 << (24 + position)) >>> 0));
  wiring.message(0x10, 0xfee0_1000, 0x0041);
  assert.deepEqual(bench.requested(0x41), [1]);
  wiring.message(0x10, 0xfeef_f000, 0x0042);
  assert.deepEqual(bench.requested(0x42), [0, 1, 2]);
  wiring.message(0x10, 0xfee0_6004, 0x0043);
  assert.deepEqual(bench.requested(0x43), [1, 2]);
  wiring.message(0x10, 0xfee0_600c, 0x0044);
  assert.equal(bench.requested(0x44).length, 1, 'the hint redirects to one of the set');
  wiring.message(0x10, 0xfee0_1008, 0x0047);
  assert.deepEqual(bench.requested(0x47), [1], 'a hint without a set is no hint');
  wiring.message(0x10, 0xfee0_0000, 0x8045);
  assert.deepEqual(bench.requested(0x45), [], 'level de-assert');
  wiring.message(0x10, 0xfee0_0000, 0xc045);
  assert.deepEqual(bench.requested(0x45), [0]);
  wiring.message(0x10, 0xfee0_2000, 0x0400);
  assert.deepEqual(bench.signals, ['nmi 2']);
  wiring.message(0x10, 0xfed0_0000, 0x0046);
  wiring.message(0x10, 0x1_fee0_0000, 0x0046);
  assert.deepEqual(bench.requested(0x46), []);
  assert.equal(wiring.state.strayMessages, 2);
});

test('restored, a line that was asserted can be released', () => {
  const build = () => {
    const all = board();
    return { ...all, line: all.wiring.gsiLine(17), other: all.wiring.gsiLine(17) };
  };
  const one = build();
  one.line.set(true);
  const two = build();
  two.wiring.restore(one.wiring.save());
  two.ioApic.restore(one.ioApic.save());
  two.pic.restore(one.pic.save());
  two.other.set(true);
  two.other.set(false);
  assert.deepEqual(pins(two.ioApic), [17]);
  two.line.set(false);
  assert.deepEqual(pins(two.ioApic), []);
});
