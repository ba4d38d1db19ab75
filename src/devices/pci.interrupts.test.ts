// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configAccess, testFunction, testMachine } from './pci-fixture.test.ts';
import { pciInterruptRoutes } from './pci-routing.ts';

const [COMMAND, STATUS, BAR1] = [0x04, 0x06, 0x14];

describe('INTx', () => {
  it('is spread over four inputs, as _PRT will say', () => {
    const routes = pciInterruptRoutes();
    assert.equal(routes.length, 128);
    assert.deepEqual(
      routes.filter(({ slot }) => slot === 3).map(({ gsi }) => gsi),
      [19, 16, 17, 18],
    );
    assert.deepEqual(
      pciInterruptRoutes([9, 11])
        .slice(0, 4)
        .map(({ gsi }) => gsi),
      [9, 11, 9, 11],
    );
  });

  it('is the wired OR of the functions on an input', () => {
    const { pci, interrupts } = testMachine();
    const [first, second] = [testFunction('first', { interruptPin: 1 }), testFunction('second', { interruptPin: 1 })];
    pci.attach(1, 0, first);
    pci.attach(5, 0, second);
    first.setInterrupt(true);
    second.setInterrupt(true);
    first.setInterrupt(false);
    assert.equal(interrupts.gsi[17], true);
    second.setInterrupt(false);
    assert.deepEqual(interrupts.gsi.filter(Boolean), []);
  });

  it('shows in status, and obeys Interrupt Disable', () => {
    const { bus, pci, interrupts } = testMachine();
    const target = testFunction('target', { interruptPin: 2 });
    pci.attach(1, 0, target);
    const config = configAccess(bus, 1);
    config.write(COMMAND, 2, 0x400);
    target.setInterrupt(true);
    assert.equal(config.read(STATUS, 2), 0x0008);
    assert.equal(interrupts.gsi[18], false);
    config.write(COMMAND, 2, 0);
    assert.equal(interrupts.gsi[18], true);
    target.setInterrupt(false);
    assert.equal(config.read(STATUS, 2), 0);
    assert.equal(interrupts.gsi[18], false);
  });
});

describe('bus mastering', () => {
  it('is closed until the command register opens it', () => {
    const { bus, pci, ram } = testMachine();
    const target = testFunction('target');
    pci.attach(2, 0, target);
    const bytes = Uint8Array.of(1, 2);
    target.memory.write(0x100, bytes);
    target.memory.read(0x100, bytes);
    assert.deepEqual([ram[0x100], ...bytes], [0, 0xff, 0xff]);
    configAccess(bus, 2).write(COMMAND, 2, 4);
    target.memory.write(0x100, Uint8Array.of(1, 2));
    target.memory.read(0x101, bytes);
    assert.deepEqual([ram[0x100], ...bytes], [1, 2, 0]);
    assert.equal(target.memory.requesterId, 0x10);
  });
});

describe('MSI', () => {
  const setup = () => {
    const machine = testMachine();
    const target = testFunction('target', { msi: { vectors: 4 }, interruptPin: 1 });
    machine.pci.attach(2, 0, target);
    const config = configAccess(machine.bus, 2);
    config.write(COMMAND, 2, 4);
    config.write(0x44, 4, 0xfee0_1000);
    config.write(0x4c, 2, 0x4041);
    return { ...machine, target, config };
  };

  it('tells what it can do', () => {
    const { config } = setup();
    assert.equal(config.read(0x34, 1), 0x40);
    assert.equal(config.read(0x40, 4), 0x0184_0005, '4 vectors, 64 bits, maskable');
    config.write(0x40, 4, 0xffff_ffff);
    assert.equal(config.read(0x40, 4), 0x01f5_0005);
    config.write(0x50, 4, 0xffff_ffff);
    assert.equal(config.read(0x50, 4), 0xf);
  });

  it('sends nothing before it is enabled, then the vector in the bits it was given', () => {
    const { target, config, interrupts } = setup();
    target.notify(1);
    assert.equal(interrupts.messages.length, 0);
    config.write(0x42, 2, 0x01);
    target.notify(3);
    config.write(0x42, 2, 0x21);
    target.notify(3);
    target.notify(0);
    const data = interrupts.messages.map((message) => message.data);
    assert.deepEqual(data, [0x4041, 0x4043, 0x4040]);
    assert.deepEqual(interrupts.messages[0], { requesterId: 0x10, address: 0xfee0_1000, data: 0x4041 });
  });

  it('holds masked vectors pending', () => {
    const { target, config, interrupts } = setup();
    config.write(0x42, 2, 0x21);
    config.write(0x50, 4, 0b0110);
    for (const vector of [0, 1, 2, 2]) target.notify(vector);
    assert.deepEqual(
      interrupts.messages.map(({ data }) => data),
      [0x4040],
    );
    assert.equal(config.read(0x54, 4), 0b0110);
    config.write(0x50, 4, 0b0010);
    assert.deepEqual(
      interrupts.messages.map(({ data }) => data),
      [0x4040, 0x4042],
      'once',
    );
    assert.equal(config.read(0x54, 4), 0b0010);
  });

  it('silences INTx, and needs Bus Master', () => {
    const { target, config, interrupts } = setup();
    target.setInterrupt(true);
    assert.equal(interrupts.gsi[18], true);
    config.write(0x42, 2, 0x01);
    assert.equal(interrupts.gsi[18], false);
    config.write(COMMAND, 2, 0);
    target.notify(0);
    assert.equal(interrupts.messages.length, 0);
    config.write(0x42, 2, 0x00);
    assert.equal(interrupts.gsi[18], true);
  });
});

describe('MSI-X', () => {
  const TABLE = 0xc000_0000;
  const setup = () => {
    const machine = testMachine();
    const target = testFunction('target', { msix: { vectors: 3, bar: 1 }, interruptPin: 1 });
    machine.pci.attach(2, 0, target);
    const config = configAccess(machine.bus, 2);
    config.write(BAR1, 4, TABLE);
    config.write(COMMAND, 2, 6);
    const program = (vector: number, control: number) => {
      machine.bus.writeMemory(TABLE + 16 * vector, 8, 0xfee0_0003, 1);
      machine.bus.writeMemory(TABLE + 16 * vector + 8, 4, 0x30 + vector);
      machine.bus.writeMemory(TABLE + 16 * vector + 12, 4, control);
    };
    return { ...machine, target, config, program };
  };

  it('tells table size and places', () => {
    const { config, bus } = setup();
    assert.deepEqual([config.read(0x40, 4), config.read(0x44, 4), config.read(0x48, 4)], [0x0002_0011, 1, 0x801]);
    assert.equal(bus.readMemory(TABLE + 12, 4), 1, 'masked at reset');
    assert.equal(bus.readMemory(TABLE + 48, 4), 0, 'beyond the table');
  });

  it('sends what the table says', () => {
    const { target, config, program, interrupts, bus } = setup();
    program(1, 0);
    target.notify(1);
    assert.equal(interrupts.messages.length, 0, 'not enabled');
    config.write(0x42, 2, 0x8000);
    target.notify(1);
    target.notify(3);
    assert.deepEqual(interrupts.messages, [{ requesterId: 0x10, address: 2 ** 32 + 0xfee0_0000, data: 0x31 }]);
    bus.writeMemory(TABLE + 16 + 8, 1, 0x77);
    target.notify(1);
    assert.equal(interrupts.messages[1].data, 0x77);
  });

  it('holds masked vectors pending: by entry, and by function', () => {
    const { target, config, program, interrupts, bus } = setup();
    program(0, 1);
    program(2, 0);
    config.write(0x42, 2, 0xc000);
    for (const vector of [0, 2, 2]) target.notify(vector);
    assert.equal(bus.readMemory(TABLE + 0x800, 8), 0b101);
    assert.deepEqual([interrupts.messages.length, bus.high], [0, 0]);
    config.write(0x42, 2, 0x8000);
    assert.deepEqual(
      interrupts.messages.map(({ data }) => data),
      [0x32],
    );
    assert.equal(bus.readMemory(TABLE + 0x800, 4), 0b001);
    program(0, 0);
    assert.deepEqual(
      interrupts.messages.map(({ data }) => data),
      [0x32, 0x30],
    );
    assert.equal(bus.readMemory(TABLE + 0x800, 4), 0);
    bus.writeMemory(TABLE + 0x800, 4, 7);
    assert.equal(bus.readMemory(TABLE + 0x800, 4), 0, 'pending bits are read-only');
  });
});
