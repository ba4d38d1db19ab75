// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DeviceBus } from './bus.ts';
import { ECAM_BASE, MEMORY_WINDOW, PORT_WINDOW, TestRegisters, testFunction, testMachine } from './pci-fixture.test.ts';
import { PciFunction } from './pci-function.ts';
import { assignPciResources } from './pci-resources.ts';
import { pciInterruptRoutes } from './pci-routing.ts';

const [CF8, CFC] = [0xcf8, 0xcfc];
const [COMMAND, STATUS, BAR0, BAR1, BAR2, BAR3] = [0x04, 0x06, 0x10, 0x14, 0x18, 0x1c];

type Width = 1 | 2 | 4;

/** Mechanism #1 as software uses it. */
function configAccess(bus: DeviceBus, slot: number, number = 0) {
  const select = (register: number) => bus.writePort(CF8, 4, 2 ** 31 + (slot << 11) + (number << 8) + (register & ~3));
  return {
    read: (register: number, width: Width) => (select(register), bus.readPort(CFC + (register & 3), width)),
    write: (register: number, width: Width, value: number) => (
      select(register),
      bus.writePort(CFC + (register & 3), width, value)
    ),
  };
}

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

describe('a Base Address Register', () => {
  const description = () => {
    const device = new TestRegisters();
    const bars = [
      { index: 0, kind: 'memory32', size: 0x1000, device },
      { index: 1, kind: 'io', size: 0x20, device },
      { index: 2, kind: 'memory64', size: 0x10_0000, prefetchable: true, device },
    ] as const;
    return { device, bars };
  };

  it('tells its size and kind', () => {
    const { bus, pci } = testMachine();
    pci.attach(3, 0, testFunction('target', description()));
    const config = configAccess(bus, 3);
    for (const register of [BAR0, BAR1, BAR2, BAR3, 0x20, 0x24, 0x30]) config.write(register, 4, 0xffff_ffff);
    assert.deepEqual(
      [BAR0, BAR1, BAR2, BAR3, 0x20, 0x24, 0x30].map((register) => config.read(register, 4)),
      [0xffff_f000, 0xffff_ffe1, 0xfff0_000c, 0xffff_ffff, 0, 0, 0],
    );
  });

  it('decodes where it points, once its space is enabled', () => {
    const { bus, pci } = testMachine();
    const { device, bars } = description();
    pci.attach(3, 0, testFunction('target', { bars }));
    const config = configAccess(bus, 3);
    config.write(BAR0, 4, 0xc000_0000);
    config.write(BAR1, 4, 0xc040);
    assert.equal(bus.claimsMemory(0xc000_0000), false);
    config.write(COMMAND, 2, 2);
    bus.writeMemory(0xc000_0010, 4, 0x1234);
    assert.equal(device.words[4], 0x1234);
    assert.equal(bus.readPort(0xc050, 4), 0xffff_ffff, 'I/O space is off');
    config.write(COMMAND, 2, 3);
    assert.equal(bus.readPort(0xc050, 4), 0x1234);
    config.write(COMMAND, 2, 1);
    assert.equal(bus.readMemory(0xc000_0010, 4), 0xffff_ffff);
    assert.equal(bus.readPort(0xc050, 4), 0x1234);
  });

  it('moves, byte by byte if need be', () => {
    const { bus, pci } = testMachine();
    const { bars } = description();
    pci.attach(3, 0, testFunction('target', { bars }));
    const config = configAccess(bus, 3);
    config.write(COMMAND, 2, 3);
    config.write(BAR0, 4, 0xc000_0000);
    config.write(BAR0 + 2, 1, 0x50);
    assert.deepEqual([bus.claimsMemory(0xc000_0000), bus.claimsMemory(0xc050_0000)], [false, true]);
    config.write(BAR0, 4, 0xffff_ffff);
    assert.deepEqual(
      bus.claims().filter(({ name }) => name.includes('BAR 0')),
      [],
      'sizing decodes nothing',
    );
    config.write(BAR0, 4, 0xc060_0000);
    assert.deepEqual(
      bus.claims().filter(({ name }) => name === 'target BAR 0'),
      [{ space: 'memory', first: 0xc060_0000, last: 0xc060_0fff, name: 'target BAR 0' }],
    );
  });

  it('outside the windows decodes nothing, such as over RAM or other devices', () => {
    const { bus, pci } = testMachine();
    pci.attach(3, 0, testFunction('target', description()));
    const config = configAccess(bus, 3);
    config.write(COMMAND, 2, 3);
    for (const address of [0, 0x10_0000, ECAM_BASE, 0xfee0_0000]) {
      config.write(BAR0, 4, address);
      assert.equal(
        bus.claims().some(({ name }) => name === 'target BAR 0'),
        false,
      );
    }
    config.write(BAR1, 4, CF8 & ~0x1f);
    config.write(BAR3, 4, 1);
    assert.equal(
      bus.claims().some(({ name }) => name.startsWith('target')),
      false,
    );
  });

  it('that overlaps another decodes when the other has gone', () => {
    const { bus, pci } = testMachine();
    const [first, second] = [description(), description()];
    pci.attach(4, 0, testFunction('second', { bars: second.bars }));
    pci.attach(3, 0, testFunction('first', { bars: first.bars }));
    for (const slot of [4, 3]) {
      configAccess(bus, slot).write(COMMAND, 2, 2);
      configAccess(bus, slot).write(BAR0, 4, 0xc000_0000);
    }
    const owner = () => bus.claims().find(({ first: base }) => base === 0xc000_0000)?.name;
    assert.equal(owner(), 'first BAR 0', 'the lower slot, whoever came first');
    configAccess(bus, 3).write(BAR0, 4, 0xc100_0000);
    assert.equal(owner(), 'second BAR 0');
  });

  it('of 64 bits decodes above 4 GiB in a window there', () => {
    const { bars } = description();
    const machine = testMachine();
    const pci = Object.assign(machine.pci, {
      windows: { ...machine.pci.windows, memory64: { base: 2 ** 33, size: 2 ** 30 } },
    });
    pci.attach(3, 0, testFunction('target', { bars }));
    const config = configAccess(machine.bus, 3);
    config.write(COMMAND, 2, 2);
    config.write(BAR3, 4, 2);
    assert.equal(machine.bus.claimsMemory(2 ** 33 + 0xf_ffff), true);
  });

  it('gets its place from what firmware does', () => {
    const { bus, pci } = testMachine();
    const { bars } = description();
    pci.attach(3, 0, testFunction('first', { bars, interruptPin: 1 }));
    pci.attach(4, 0, testFunction('second', { bars: description().bars, interruptPin: 1 }));
    assignPciResources(pci);
    const claims = bus.claims().filter(({ name }) => name.includes('BAR'));
    assert.equal(claims.length, 6);
    for (const { space, first, last } of claims) {
      const window = space === 'port' ? PORT_WINDOW : MEMORY_WINDOW;
      assert.ok(first >= window.base && last < window.base + window.size);
      assert.equal(first % (last - first + 1), 0, 'natural alignment');
    }
    assert.equal(configAccess(bus, 3).read(COMMAND, 2), 3, 'no bus master');
    assert.equal(configAccess(bus, 3).read(0x3c, 1), 19);
    assert.equal(configAccess(bus, 4).read(0x3c, 1), 16);
  });
});

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
