// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceBus } from '../devices/bus.ts';
import { MSR_APIC_BASE } from '../devices/lapic.ts';
import { ApicBench } from '../devices/lapic.testing.ts';
import { ProcessorBus } from './physical-bus.ts';

const APIC = 0xfee0_0000;
const [ID, TASK_PRIORITY] = [0x20, 0x80];

/** Two processors' buses over the same devices, one of which answers all around the local APICs' page. */
function twoProcessors() {
  const devices = new DeviceBus();
  const seen: string[] = [];
  const device = {
    readMemory: (offset: number, width: number) => (seen.push(`r${offset.toString(16)}.${width}`), 0x55),
    writeMemory: (offset: number, width: number) => void seen.push(`w${offset.toString(16)}.${width}`),
  };
  devices.claimMemory(APIC - 0x1000, 0x3000, 'around', device);
  devices.claimPorts(0x80, 4, 'port', {
    readPort: (port, width) => (seen.push(`in ${port.toString(16)}.${width}`), 0xaa),
    writePort: (port, width, value) => void seen.push(`out ${port.toString(16)}.${width}=${value.toString(16)}`),
  });
  const { apics } = new ApicBench(2);
  const buses = apics.map((apic) => {
    const bus = new ProcessorBus(devices);
    bus.localApic = apic;
    return bus;
  });
  return { buses, apics, seen };
}

test('each processor finds its own local APIC at the same address, and no device there', () => {
  const { buses, apics, seen } = twoProcessors();
  assert.deepEqual(
    buses.map((bus) => bus.readMemory(APIC + ID, 4)),
    [0, 0x0100_0000],
  );
  buses[1].writeMemory(APIC + TASK_PRIORITY, 4, 0x30);
  assert.deepEqual(
    apics.map((apic) => apic.taskPriority),
    [0, 0x30],
  );
  assert.deepEqual(seen, []);
});

test('the page ends where it ends: its neighbours are devices', () => {
  const { buses, seen } = twoProcessors();
  assert.equal(buses[0].readMemory(APIC - 1, 1), 0x55);
  buses[0].writeMemory(APIC + 0x1000, 4, 0);
  buses[0].readMemory(APIC + 0xffc, 4);
  assert.deepEqual(seen, ['rfff.1', 'w2000.4']);
});

test('the page follows IA32_APIC_BASE, and vanishes in x2APIC mode', () => {
  const { buses, apics, seen } = twoProcessors();
  assert.equal(apics[1].writeMsr(MSR_APIC_BASE, (apics[1].state.baseLow & 0xfff) + APIC + 0x1000, 0), true);
  assert.equal(buses[1].readMemory(APIC + 0x1000 + ID, 4), 0x0100_0000);
  assert.equal(buses[1].readMemory(APIC + ID, 4), 0x55);
  assert.equal(buses[0].readMemory(APIC + ID, 4), 0, "the other processor's has not moved");
  assert.equal(apics[0].writeMsr(MSR_APIC_BASE, apics[0].state.baseLow | 0xc00, 0), true);
  assert.equal(buses[0].readMemory(APIC + ID, 4), 0x55);
  assert.deepEqual(seen, ['r1020.4', 'r1020.4']);
});

test('ports are the devices of all', () => {
  const { buses, seen } = twoProcessors();
  assert.equal(buses[1].readPort(0x81, 1), 0xaa);
  buses[0].writePort(0x80, 2, 0x1234);
  assert.deepEqual(seen, ['in 81.1', 'out 80.2=1234']);
});
