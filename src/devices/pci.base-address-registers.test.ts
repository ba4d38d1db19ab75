// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ECAM_BASE,
  MEMORY_WINDOW,
  PORT_WINDOW,
  configAccess,
  TestRegisters,
  testFunction,
  testMachine,
} from './pci-fixture.test.ts';
import { assignPciResources } from './pci-resources.ts';

const CF8 = 0xcf8;
const [COMMAND, BAR0, BAR1, BAR2, BAR3] = [0x04, 0x10, 0x14, 0x18, 0x1c];

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
