// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ECAM_BASE, configAccess, TestRegisters, testFunction, testMachine } from './pci-fixture.test.ts';
import { PciFunction } from './pci-function.ts';
import { assignPciResources } from './pci-resources.ts';

const [CF8, CFC] = [0xcf8, 0xcfc];
const [COMMAND, STATUS] = [0x04, 0x06];

describe('configuration mechanism #1', () => {
  it('is found by the test of software: CONFIG_ADDRESS reads back as a dword only', () => {
    const { bus } = testMachine();
    bus.writePort(CF8 + 3, 1, 1);
    bus.writePort(CF8, 4, 0xffff_ffff);
    assert.equal(bus.readPort(CF8, 4), 0x80ff_fffc);
    assert.equal(bus.readPort(CF8, 2), 0xffff);
  });

  it('shows the host bridge at 00:00.0 and nothing elsewhere', () => {
    const { bus } = testMachine();
    const bridge = configAccess(bus, 0);
    assert.equal(bridge.read(0, 4), 0x29c0_8086);
    assert.equal(bridge.read(2, 2), 0x29c0);
    assert.equal(bridge.read(0x0b, 1), 0x06);
    assert.equal(bridge.read(0x60, 4), ECAM_BASE + 1, 'PCIEXBAR');
    assert.equal(configAccess(bus, 1).read(0, 4), 0xffff_ffff);
    assert.equal(configAccess(bus, 0, 1).read(0, 2), 0xffff);
    bus.writePort(CF8, 4, 2 ** 31 + 0x1_0000);
    assert.equal(bus.readPort(CFC, 4), 0xffff_ffff, 'bus 1');
    bus.writePort(CF8, 4, 0);
    assert.equal(bus.readPort(CFC, 4), 0xffff_ffff, 'not enabled');
  });

  it('and ECAM reach the same registers', () => {
    const { bus, pci } = testMachine();
    pci.attach(3, 0, testFunction('zero'));
    pci.attach(3, 2, testFunction('two'));
    const two = ECAM_BASE + (3 << 15) + (2 << 12);
    bus.writeMemory(two + 0x3c, 1, 0x0b);
    assert.equal(configAccess(bus, 3, 2).read(0x3c, 1), 0x0b);
    assert.equal(configAccess(bus, 3).read(0x3c, 1), 0);
    assert.equal(bus.readMemory(two, 4), 0x5678_1234);
    assert.equal(bus.readMemory(two + 8, 4), 0x1122_3309);
    assert.equal(bus.readMemory(ECAM_BASE + (3 << 15), 4), 0x5678_1234);
    bus.writeMemory(two - 0x1000 + 0x13c, 1, 0x0c);
    assert.equal(configAccess(bus, 3, 2).read(0x3c, 1), 0x0b, 'no extended configuration space to write');
    pci.attach(3, 3, testFunction('three'));
    assert.equal(bus.readMemory(two + 0x100, 4), 0xffff_ffff, 'nor to read');
    assert.equal(bus.readMemory(ECAM_BASE + 0x10_0000, 4), 0xffff_ffff, 'bus 1');
  });

  it('marks function 0 of several as multi-function', () => {
    const { bus, pci } = testMachine();
    pci.attach(3, 0, testFunction('zero'));
    assert.equal(configAccess(bus, 3).read(0x0e, 1), 0);
    pci.attach(3, 1, testFunction('one'));
    assert.equal(configAccess(bus, 3).read(0x0e, 1), 0x80);
    pci.reset();
    assert.equal(configAccess(bus, 3).read(0x0e, 1), 0x80);
    assert.throws(() => pci.attach(3, 1, testFunction('again')), /taken by one/);
    assert.throws(() => pci.attach(4, 1, testFunction('orphan')), /no function 0/);
  });

  it('keeps read-only bits, and clears what is written 1 in status', () => {
    const { bus, pci } = testMachine();
    const target = testFunction('target', {
      capabilities: [{ id: 9, registers: new Uint8Array(2), writable: new Uint8Array(2) }],
    });
    pci.attach(3, 0, target);
    const config = configAccess(bus, 3);
    for (const register of [0x00, 0x08, 0x0c, 0x2c, 0x34, 0x3c, 0x40]) config.write(register, 4, 0xffff_ffff);
    assert.deepEqual(
      [0x00, 0x08, 0x0c, 0x2c, 0x34, 0x3c, 0x40].map((register) => config.read(register, 4)),
      [0x5678_1234, 0x1122_3309, 0xffff, 0, 0x40, 0xff, 9],
    );
    config.write(COMMAND, 2, 0xffff);
    assert.equal(config.read(COMMAND, 2), 0x0547);
    target.state.config[STATUS + 1] = 0xf9;
    config.write(STATUS, 2, 0x8000);
    assert.equal(config.read(STATUS, 2), 0x7910);
    config.write(STATUS, 2, 0xffff);
    assert.equal(config.read(STATUS, 2), 0x0010);
  });
});

describe('a PCI bus', () => {
  const build = () => {
    const machine = testMachine();
    const device = new TestRegisters();
    const target = new PciFunction({
      name: 'target',
      identity: { vendor: 1, device: 2, revision: 0, classCode: 0 },
      interruptPin: 1,
      bars: [{ index: 0, kind: 'memory32', size: 0x1000, device }],
      msix: { vectors: 2, bar: 1 },
    });
    machine.pci.attach(2, 0, target);
    return { ...machine, target };
  };

  it('saves and restores decoding, tables and lines', () => {
    const before = build();
    assignPciResources(before.pci);
    before.target.setInterrupt(true);
    before.bus.writePort(CF8, 4, 0x8000_1004);
    const table = before.bus.claims().find(({ name }) => name === 'target BAR 1')?.first ?? 0;
    before.bus.writeMemory(table + 8, 4, 0x1234);
    const after = build();
    after.pci.restore(before.pci.save());
    assert.deepEqual(after.bus.claims(), before.bus.claims());
    assert.equal(after.bus.readMemory(table + 8, 4), 0x1234);
    assert.equal(after.interrupts.gsi[18], true);
    assert.equal(after.bus.readPort(CF8, 4), 0x8000_1004);
    assert.throws(() => testMachine().pci.restore(before.pci.save()), /other functions/);
  });

  it('resets to nothing decoded', () => {
    const { pci, bus, interrupts, target } = build();
    assignPciResources(pci);
    target.setInterrupt(true);
    pci.reset();
    assert.equal(
      bus.claims().some(({ name }) => name.includes('BAR')),
      false,
    );
    assert.equal(interrupts.gsi[18], false);
    assert.equal(target.state.msix.table[3], 1);
  });
});
