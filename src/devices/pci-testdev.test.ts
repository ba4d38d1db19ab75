// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testMachine } from './pci-fixture.test.ts';
import { assignPciResources } from './pci-resources.ts';
import { PciTestDevice } from './pci-testdev.ts';

interface Access {
  read: (offset: number, width: 1 | 2 | 4) => number;
  write: (offset: number, width: 1 | 2 | 4, value: number) => void;
}

function machine(): { memory: Access; io: Access; device: PciTestDevice; identity: number } {
  const { bus, pci } = testMachine();
  const device = new PciTestDevice();
  pci.attach(2, 0, device.function);
  assignPciResources(pci);
  const [base, port] = device.function.bars.map((bar) => device.function.barAddress(bar));
  return {
    device,
    identity: pci.readConfig(2 << 11, 4),
    memory: {
      read: (offset, width) => bus.readMemory(base + offset, width),
      write: (offset, width, value) => bus.writeMemory(base + offset, width, value),
    },
    io: {
      read: (offset, width) => bus.readPort(port + offset, width),
      write: (offset, width, value) => bus.writePort(port + offset, width, value),
    },
  };
}

function nameOf(access: Access): string {
  let name = '';
  for (let at = 16, byte = access.read(at, 1); byte !== 0; byte = access.read(++at, 1))
    name += String.fromCharCode(byte);
  return name;
}

/** What kvm-unit-tests does with one test: returns the count after 16 writes, or undefined if there is no such test. */
function runTest(access: Access, number: number): number | undefined {
  access.write(0, 1, number);
  assert.equal(access.read(12, 4), 0);
  const width = access.read(1, 1);
  if (width !== 1) return undefined;
  const [offset, data] = [access.read(4, 4), access.read(8, 4)];
  for (let count = 0; count < 16; count++) access.write(offset, width, data);
  return access.read(12, 4);
}

describe('pci-testdev', () => {
  it('runs the tests of kvm-unit-tests on both BARs', () => {
    const { memory, io, identity } = machine();
    assert.equal(identity, 0x0005_1b36);
    for (const [access, type] of [
      [memory, 'mmio'],
      [io, 'portio'],
    ] as const) {
      const outcomes = [0, 1, 2].map((number) => [runTest(access, number), nameOf(access)]);
      assert.deepEqual(outcomes, [
        [16, `${type}-no-eventfd`],
        [0, `${type}-wildcard-eventfd`],
        [0, `${type}-datamatch-eventfd`],
      ]);
      assert.equal(runTest(access, 3), undefined);
    }
  });

  it('counts only the right byte at the right place', () => {
    const { memory, io } = machine();
    memory.write(0, 1, 0);
    const [offset, data] = [memory.read(4, 4), memory.read(8, 4)];
    memory.write(offset, 1, data + 1);
    memory.write(offset + 1, 1, data);
    io.write(0x80, 1, data);
    assert.equal(memory.read(12, 4), 0);
    memory.write(offset, 1, data);
    assert.equal(memory.read(12, 4), 1);
    memory.write(0, 1, 0);
    assert.equal(memory.read(12, 4), 0, 'starting a test clears its count');
  });

  it('saves and restores the test in progress', () => {
    const [before, after] = [machine(), machine()];
    runTest(before.memory, 0);
    after.device.restore(before.device.save());
    assert.equal(after.memory.read(12, 4), 16);
    after.device.reset();
    assert.equal(after.memory.read(1, 1), 0);
  });
});
