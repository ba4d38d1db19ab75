// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MemoryMappedDevice, PortDevice } from '../hardware/memory.ts';
import { DeviceBus } from './bus.ts';
import { copyState, restoreState } from './bus-state.ts';

/** Notes every access; reads give the offset's low byte in each byte. */
class Recorder implements PortDevice, MemoryMappedDevice {
  readonly log: string[] = [];

  #read(what: string, at: number, width: number): number {
    this.log.push(`${what} ${at.toString(16)} ${width}`);
    let value = 0;
    for (let byte = 0; byte < width; byte++) value += ((at + byte) & 0xff) * 2 ** (8 * byte);
    return value;
  }

  #write(what: string, at: number, width: number, value: number): void {
    this.log.push(`${what} ${at.toString(16)} ${width} ${value.toString(16)}`);
  }

  readPort(port: number, width: 1 | 2 | 4): number {
    return this.#read('in', port, width);
  }

  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    this.#write('out', port, width, value);
  }

  readMemory(offset: number, width: 1 | 2 | 4): number {
    return this.#read('load', offset, width);
  }

  writeMemory(offset: number, width: 1 | 2 | 4, value: number): void {
    this.#write('store', offset, width, value);
  }
}

describe('ports of a DeviceBus', () => {
  it('give an access within a region to its device whole', () => {
    const bus = new DeviceBus();
    const device = new Recorder();
    bus.claimPorts(0x100, 8, 'recorder', device);
    assert.equal(bus.readPort(0x104, 4), 0x0706_0504);
    bus.writePort(0x106, 2, 0xabcd);
    bus.writePort(0x100, 4, 0xffff_fffe);
    assert.deepEqual(device.log, ['in 104 4', 'out 106 2 abcd', 'out 100 4 fffffffe']);
  });

  it('split an access that crosses a border into bytes', () => {
    const bus = new DeviceBus();
    const [left, right] = [new Recorder(), new Recorder()];
    bus.claimPorts(0x100, 2, 'left', left);
    bus.claimPorts(0x103, 4, 'right', right);
    assert.equal(bus.readPort(0x101, 4), 0x0403_ff01);
    bus.writePort(0x0ff, 2, 0x1234);
    assert.deepEqual(left.log, ['in 101 1', 'out 100 1 12']);
    assert.deepEqual(right.log, ['in 103 1', 'in 104 1']);
  });

  it('read as all ones and are counted where nobody answers', () => {
    const bus = new DeviceBus();
    assert.deepEqual(
      [1, 2, 4].map((width) => bus.readPort(0x80, width as 1 | 2 | 4)),
      [0xff, 0xffff, 0xffff_ffff],
    );
    bus.writePort(0x80, 1, 7);
    bus.readMemory(0xfed0_0000, 4);
    assert.deepEqual(bus.unclaimed(), [
      { space: 'memory', address: 0xfed0_0000, reads: 1, writes: 0 },
      { space: 'port', address: 0x80, reads: 3, writes: 1 },
    ]);
  });

  it('bound the count of unclaimed addresses', () => {
    const bus = new DeviceBus();
    for (let address = 0; address < 2000; address++) bus.writeMemory(address, 1, 0);
    assert.equal(bus.unclaimed().length + bus.unclaimedElsewhere, 2000);
    assert.ok(bus.unclaimedElsewhere > 0);
  });

  it('wrap from the last port to the first', () => {
    const bus = new DeviceBus();
    bus.claimPorts(0, 1, 'first', new Recorder());
    assert.equal(bus.readPort(0xffff, 2), 0x00ff);
  });

  it('refuse an overlapping claim, and may be claimed anew after release', () => {
    const bus = new DeviceBus();
    const device = new Recorder();
    bus.claimPorts(0x3f8, 8, 'COM1', device);
    assert.throws(() => bus.claimPorts(0x3ff, 2, 'other', device), /other claims ports 0x3ff\+2 of COM1/);
    assert.throws(() => bus.releasePorts(0x3f8, 4), /no claim/);
    bus.releasePorts(0x3f8, 8);
    assert.equal(bus.readPort(0x3f8, 1), 0xff);
    bus.claimPorts(0x3ff, 2, 'other', device);
    assert.deepEqual(bus.claims(), [{ space: 'port', first: 0x3ff, last: 0x400, name: 'other' }]);
  });

  it('have dword registers over byte ports', () => {
    const bus = new DeviceBus();
    const [dword, byte] = [new Recorder(), new Recorder()];
    bus.claimDwordPort(0xcf8, 'CONFIG_ADDRESS', dword);
    bus.claimPorts(0xcf9, 1, 'reset control', byte);
    bus.writePort(0xcf8, 4, 0x8000_0000);
    bus.writePort(0xcf9, 1, 6);
    bus.writePort(0xcf8, 2, 0x0400);
    assert.deepEqual(dword.log, ['out cf8 4 80000000']);
    assert.deepEqual(byte.log, ['out cf9 1 6', 'out cf9 1 4']);
  });
});

describe('memory of a DeviceBus', () => {
  it('finds the region among many, and gives offsets', () => {
    const bus = new DeviceBus();
    const devices = [5, 1, 4, 2, 3].map((number) => {
      const device = new Recorder();
      bus.claimMemory(0x1000_0000 * number, 0x1000 * number, `device ${number}`, device);
      return { number, device };
    });
    for (const { number, device } of devices) {
      bus.readMemory(0x1000_0000 * number, 1);
      bus.readMemory(0x1000_0000 * number + 0x1000 * number - 4, 4);
      assert.equal(bus.readMemory(0x1000_0000 * number + 0x1000 * number, 1), 0xff);
      assert.deepEqual(device.log, ['load 0 1', `load ${(0x1000 * number - 4).toString(16)} 4`]);
    }
  });

  it('splits 8-byte accesses, low half first', () => {
    const bus = new DeviceBus();
    const device = new Recorder();
    bus.claimMemory(0xfee0_0000, 0x1000, 'device', device);
    assert.equal(bus.readMemory(0xfee0_0010, 8), 0x1312_1110);
    assert.equal(bus.high, 0x1716_1514);
    bus.writeMemory(0xfee0_0020, 8, 0x1111_1111, 0x2222_2222);
    assert.deepEqual(device.log, ['load 10 4', 'load 14 4', 'store 20 4 11111111', 'store 24 4 22222222']);
  });

  it('splits an access that crosses a border into bytes', () => {
    const bus = new DeviceBus();
    const [left, right] = [new Recorder(), new Recorder()];
    bus.claimMemory(0x1000, 0x1000, 'left', left);
    bus.claimMemory(0x2000, 0x1000, 'right', right);
    assert.equal(bus.readMemory(0x1ffe, 4), 0x0100_fffe);
    bus.writeMemory(0x0fff, 2, 0xaabb);
    bus.writeMemory(0x1fff, 2, 0xccdd);
    assert.deepEqual(left.log, ['load ffe 1', 'load fff 1', 'store 0 1 aa', 'store fff 1 dd']);
    assert.deepEqual(right.log, ['load 0 1', 'load 1 1', 'store 0 1 cc']);
  });

  it('refuses overlap on either side, and forgets a released region at once', () => {
    const bus = new DeviceBus();
    const device = new Recorder();
    bus.claimMemory(0x2000, 0x1000, 'device', device);
    for (const [base, size] of [
      [0x1fff, 2],
      [0x2fff, 1],
      [0x2800, 1],
      [0x1000, 0x3000],
    ]) {
      assert.throws(() => bus.claimMemory(base, size, 'other', device), /of device/);
    }
    bus.claimMemory(0x1000, 0x1000, 'below', device);
    bus.claimMemory(0x3000, 0x1000, 'above', device);
    bus.readMemory(0x2000, 1);
    bus.releaseMemory(0x2000, 0x1000);
    assert.equal(bus.readMemory(0x2000, 1), 0xff);
    assert.equal(bus.claimsMemory(0x2000), false);
    assert.equal(bus.claimsMemory(0x3000), true);
  });

  it('lets a device release its region while it is being written', () => {
    const bus = new DeviceBus();
    const mover: MemoryMappedDevice = {
      readMemory: () => 0x55,
      writeMemory: () => {
        bus.releaseMemory(0x1000, 0x1000);
        bus.claimMemory(0x5000, 0x1000, 'mover', mover);
      },
    };
    bus.claimMemory(0x1000, 0x1000, 'mover', mover);
    bus.writeMemory(0x1000, 4, 0);
    assert.equal(bus.readMemory(0x1000, 1), 0xff);
    assert.equal(bus.readMemory(0x5000, 1), 0x55);
  });
});

describe('device state', () => {
  it('is copied deeply and restored in place', () => {
    const state = { count: 1, bytes: Uint8Array.of(1, 2), rows: [{ word: 3 }], nested: { low: 4 } };
    const saved = copyState(state);
    const { bytes, rows } = state;
    state.count = 9;
    bytes[0] = 9;
    rows[0].word = 9;
    state.nested.low = 9;
    assert.deepEqual(saved, { count: 1, bytes: Uint8Array.of(1, 2), rows: [{ word: 3 }], nested: { low: 4 } });
    restoreState(state, saved);
    assert.deepEqual(state, saved);
    assert.equal(state.bytes, bytes);
    assert.equal(state.rows[0], rows[0]);
  });

  it('of another shape is refused', () => {
    assert.throws(() => restoreState({ a: 1 }, { b: 1 }), /other fields/);
    assert.throws(() => restoreState({ a: 1 }, { a: Uint8Array.of(1) }), /not a number/);
    assert.throws(() => restoreState({ a: new Uint8Array(2) }, { a: new Uint8Array(3) }), /another length/);
  });
});
