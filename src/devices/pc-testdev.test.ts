// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DeviceBus } from './bus.ts';
import { PcTestDevice } from './pc-testdev.ts';
import { TestRouter } from './pci-fixture.test.ts';

function machine() {
  const bus = new DeviceBus();
  const interrupts = new TestRouter();
  const device = new PcTestDevice(interrupts);
  device.claim(bus);
  return { bus, interrupts, device };
}

describe('pc-testdev', () => {
  it('reads back four bytes, at both places and any width', () => {
    const { bus } = machine();
    bus.writePort(0xe0, 4, 0x8765_4321);
    bus.writePort(0xe9, 1, 0xaa);
    assert.equal(bus.readPort(0xe8, 4), 0x8765_aa21);
    assert.equal(bus.readPort(0xe2, 2), 0x8765);
    bus.writePort(0xe4, 4, 0x1000);
    assert.equal(bus.readPort(0xe0, 4), 0x8765_aa21, 'a flush changes nothing');
  });

  it('drives the ISA lines below 16, and inputs of the I/O APIC above', () => {
    const { bus, interrupts } = machine();
    bus.writePort(0x200e, 1, 1);
    bus.writePort(0x2017, 1, 0x80);
    assert.deepEqual([interrupts.isa.indexOf(true), interrupts.gsi.indexOf(true)], [14, 23]);
    bus.writePort(0x200e, 1, 0);
    bus.writePort(0x2002, 1, 1);
    assert.equal(interrupts.gsi[2], true, 'the cascade has no ISA line');
    bus.writePort(0x2010, 2, 1);
    assert.deepEqual([interrupts.isa.includes(true), interrupts.gsi[16]], [false, false]);
  });

  it('has 64 KiB of memory', () => {
    const { bus, device } = machine();
    bus.writeMemory(0xff00_fffc, 4, 0xdead_beef);
    bus.writeMemory(0xff00_0001, 1, 0x12);
    assert.equal(bus.readMemory(0xff00_fffe, 2), 0xdead);
    assert.equal(bus.readMemory(0xff00_0000, 4), 0x1200);
    const other = machine();
    other.device.restore(device.save());
    assert.equal(other.bus.readMemory(0xff00_fffc, 4), 0xdead_beef);
  });
});
