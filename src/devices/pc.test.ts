// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockStore, ByteChannel } from '../hardware/ports.ts';
import { DeviceBus } from './bus.ts';
import { ApicBus } from './lapic-bus.ts';
import { ManualTime } from './manual-time.ts';
import { PcDevices } from './pc.ts';
import type { PcDescription } from './pc.ts';
import { TestMemory } from './pci-fixture.test.ts';
import { Pic } from './pic.ts';

const ECAM = { base: 0xb000_0000, buses: 256 } as const;

class Console implements ByteChannel {
  readonly sent: number[] = [];
  readonly input: number[] = [];

  send(byte: number): void {
    this.sent.push(byte);
  }
  receive(): number {
    return this.input.shift() ?? -1;
  }
}

/** An empty disk of this many sectors. */
function disk(sectors: number): BlockStore {
  return { sectors, readOnly: false, read: (_, bytes) => void bytes.fill(0), write: () => {}, flush: () => {} };
}

function pc(more: Partial<PcDescription> = {}) {
  const bus = new DeviceBus();
  const pic = new Pic();
  const time = new ManualTime();
  const events: string[] = [];
  const ram = new Uint8Array(0x10000);
  const devices = new PcDevices(
    { ramBytes: ram.length, processors: 1, ecam: ECAM, startTime: 0, serial: [], disks: [], ...more },
    {
      bus,
      pic,
      time,
      apicBus: new ApicBus(),
      busMaster: (requesterId) => new TestMemory(ram, requesterId),
      powerOff: () => void events.push('off'),
      reset: (kind) => void events.push(kind),
      debugExit: (code) => void events.push(`exit ${code}`),
    },
  );
  /** Vendor and device of 00:slot.0, by ECAM. */
  const identity = (slot: number): string => bus.readMemory(ECAM.base + (slot << 15), 4).toString(16);
  return { bus, pic, time, events, ram, devices, identity };
}

test('what every PC has is at its place', () => {
  const { bus, identity } = pc();
  // prettier-ignore
  const places: readonly (readonly [space: 'port' | 'memory', at: number])[] = [
    ['port', 0x20], ['port', 0xa0],            // 8259A pair
    ['port', 0x40], ['port', 0x70],            // 8254, RTC
    ['port', 0x92], ['port', 0x510],           // reset and A20, fw_cfg
    ['memory', 0xfec0_0000],                   // I/O APIC
    ['memory', ECAM.base],                     // PCI
  ];
  const claims = bus.claims();
  for (const [space, at] of places) {
    const owner = claims.find((claim) => claim.space === space && claim.first <= at && at <= claim.last);
    assert.ok(owner !== undefined, `${space} ${at.toString(16)}`);
  }
  bus.writePort(0xcf8, 4, 0x8000_0000);
  assert.equal(bus.readPort(0xcfc, 4), 0x29c0_8086, 'configuration mechanism #1');
  assert.equal(identity(0), '29c08086', 'host bridge');
  assert.equal(identity(2), 'ffffffff', 'no disk, no function');
  for (const port of [0x3f8, 0x2f8, 0xf4]) assert.equal(bus.readPort(port, 1), 0xff, 'nothing that was not asked for');
});

test('serial ports are COM1 to COM4, each with its channel', () => {
  const channels = [new Console(), new Console(), new Console(), new Console()];
  const { bus, devices } = pc({ serial: channels });
  [0x3f8, 0x2f8, 0x3e8, 0x2e8].forEach((base, i) => bus.writePort(base, 1, 0x41 + i));
  assert.deepEqual(
    channels.map((channel) => channel.sent),
    [[0x41], [0x42], [0x43], [0x44]],
  );
  channels[1].input.push(0x7a);
  devices.poll();
  assert.equal(bus.readPort(0x2fd, 1) & 1, 1, 'data ready at COM2');
  assert.equal(bus.readPort(0x2f8, 1), 0x7a);
  assert.equal(bus.readPort(0x3fd, 1) & 1, 0, 'not at COM1');
});

test('an interrupt of COM1 goes out of the 8259A pair as IRQ 4', () => {
  const console = new Console();
  const { bus, pic, devices } = pc({ serial: [console] });
  for (const [port, value] of [
    [0x20, 0x11],
    [0x21, 0x30],
    [0x21, 4],
    [0x21, 1],
    [0x21, 0xef],
  ])
    bus.writePort(port, 1, value);
  bus.writePort(0x3fc, 1, 0x08);
  bus.writePort(0x3f9, 1, 0x01);
  console.input.push(1);
  devices.poll();
  assert.equal(pic.acknowledge(), 0x34);
});

test('disks come first on the PCI bus, then entropy, then the test device; all placed in the windows', () => {
  const { bus, identity } = pc({
    disks: [disk(8), disk(16)],
    entropy: { fill: (bytes) => void bytes.fill(1) },
    pciTestDevice: true,
  });
  assert.deepEqual([2, 3, 4, 5, 6].map(identity), ['10421af4', '10421af4', '10441af4', '51b36', 'ffffffff']);
  const bars = bus.claims().filter(({ name }) => name.includes('BAR'));
  assert.ok(bars.length >= 4);
  for (const { space, first, last } of bars) {
    const [from, to] = space === 'port' ? [0xc000, 0xf000] : [ECAM.base + ECAM.buses * 0x10_0000, 0xfec0_0000];
    assert.ok(first >= from && last < to, `${first.toString(16)}..${last.toString(16)}`);
  }
});

test('what ends or restarts a run is told to whoever built the PC', () => {
  const { bus, events } = pc({ debugExit: { port: 0xf4, size: 4 } });
  bus.writePort(0xf4, 4, 0x10);
  bus.writePort(0xcf9, 1, 0x02);
  bus.writePort(0xcf9, 1, 0x06);
  assert.deepEqual(events, ['exit 33', 'hard']);
});
