// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtioBlock } from './block.ts';
import { BUFFERS, F_INDIRECT, TestDriver } from './driver-fixture.test.ts';

const DEVICE = 4;
const [IN, OUT, FLUSH, GET_ID, DISCARD] = [0, 1, 4, 8, 11];
const [OK, IOERR, UNSUPP] = [0, 1, 2];
const [HEADER, DATA, STATUS] = [BUFFERS, BUFFERS + 0x1000, BUFFERS + 0x40];

class Disk {
  readonly readOnly: boolean;
  readonly bytes: Uint8Array;
  flushes = 0;

  constructor(sectors: number, readOnly = false) {
    this.bytes = Uint8Array.from({ length: 512 * sectors }, (_, index) => (index >> 9) + 1);
    this.readOnly = readOnly;
  }

  get sectors(): number {
    return this.bytes.length / 512;
  }

  read(sector: number, bytes: Uint8Array): void {
    bytes.set(this.bytes.subarray(512 * sector, 512 * sector + bytes.length));
  }

  write(sector: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, 512 * sector);
  }

  flush(): void {
    this.flushes++;
  }
}

function setup(disk = new Disk(256)) {
  const driver = new TestDriver(new VirtioBlock(disk, 'turtles-0'), 8).start();
  const header = (type: number, sector: number) => {
    driver.ram.setUint32(HEADER, type, true);
    driver.ram.setUint32(HEADER + 4, 0, true);
    driver.ram.setBigUint64(HEADER + 8, BigInt(sector), true);
    driver.machine.ram[STATUS] = 0xee;
    return { at: HEADER, length: 16 };
  };
  const status = { at: STATUS, length: 1, write: true };
  /** Runs a request with one data buffer and returns its status. */
  const request = (type: number, sector: number, length: number): number => {
    const data = length > 0 ? [{ at: DATA, length, write: type !== OUT }] : [];
    driver.submit(header(type, sector), ...data, status);
    return driver.machine.ram[STATUS];
  };
  return {
    driver,
    disk,
    header,
    status,
    request,
    data: (length: number) => driver.machine.ram.subarray(DATA, DATA + length),
  };
}

describe('virtio-blk', () => {
  it('describes the disk', () => {
    const { driver } = setup();
    assert.equal(driver.config(0, 4), 0x1042_1af4);
    assert.deepEqual(
      [0, 4, 12, 20].map((offset) => driver.read(DEVICE, offset, 4)),
      [256, 0, 126, 512],
    );
    assert.equal(driver.offered()[0] & 0xffff, 0x0244);
    const big = { readOnly: true, sectors: 2 ** 33 + 5, read() {}, write() {}, flush() {} };
    const other = new TestDriver(new VirtioBlock(big, ''));
    assert.deepEqual([other.read(DEVICE, 0, 4), other.read(DEVICE, 4, 4)], [5, 2]);
    assert.equal(other.offered()[0] & 0xffff, 0x0264, 'read-only');
  });

  it('reads sectors', () => {
    const { driver, request, data } = setup();
    assert.equal(request(IN, 3, 1024), OK);
    assert.deepEqual(
      [data(1025)[0], data(1025)[511], data(1025)[512], data(1025)[1023], data(1025)[1024]],
      [4, 4, 5, 5, 0],
    );
    assert.deepEqual(driver.used(0), { head: 0, length: 1025 });
    assert.equal(driver.interrupts.gsi[17], true);
  });

  it('writes sectors', () => {
    const { request, data, disk, driver } = setup();
    data(512).fill(0xab);
    assert.equal(request(OUT, 255, 512), OK);
    assert.deepEqual([disk.bytes[255 * 512 - 1], disk.bytes[255 * 512], disk.bytes.at(-1)], [255, 0xab, 0xab]);
    assert.equal(driver.used(0).length, 1);
  });

  it('moves more than a chunk in one request', () => {
    const { request, data, disk } = setup();
    const bytes = 512 * 200;
    data(bytes).forEach((_, index) => (data(bytes)[index] = (index * 7) >> 3));
    const written = data(bytes).slice();
    assert.equal(request(OUT, 10, bytes), OK);
    assert.deepEqual(disk.bytes.slice(5120, 5120 + bytes), written);
    data(bytes).fill(0);
    assert.equal(request(IN, 10, bytes), OK);
    assert.deepEqual(data(bytes).slice(), written);
  });

  it('does not care where buffers begin and end', () => {
    const { driver, header, disk } = setup();
    header(IN, 7);
    driver.submit(
      { at: HEADER, length: 5 },
      { at: HEADER + 5, length: 11 },
      { at: DATA, length: 100, write: true },
      { at: DATA + 100, length: 413, write: true },
    );
    assert.deepEqual(driver.machine.ram.slice(DATA, DATA + 512), disk.bytes.slice(7 * 512, 8 * 512));
    assert.equal(driver.machine.ram[DATA + 512], OK, 'the last byte is the status');
    assert.equal(driver.status, 15);
  });

  it('serves requests through indirect tables', () => {
    const { driver, header, status } = setup();
    driver.start(F_INDIRECT);
    driver.offer(driver.indirectChain([header(IN, 1), { at: DATA, length: 512, write: true }, status]));
    driver.kick();
    assert.deepEqual([driver.machine.ram[DATA], driver.machine.ram[STATUS]], [2, OK]);
  });

  it('flushes, and tells its name', () => {
    const { request, disk, data } = setup();
    assert.equal(request(FLUSH, 0, 0), OK);
    assert.equal(disk.flushes, 1);
    data(20).fill(0xff);
    assert.equal(request(GET_ID, 0, 20), OK);
    assert.equal(String.fromCharCode(...data(20)), 'turtles-0'.padEnd(20, '\0'));
    assert.equal(request(GET_ID, 0, 19), IOERR);
  });

  it('refuses what lies beyond the disk or is no whole sector', () => {
    const { request, data, disk } = setup();
    data(512).fill(0x77);
    const before = disk.bytes.slice();
    assert.equal(request(IN, 256, 512), IOERR);
    assert.equal(
      data(512).every((byte) => byte === 0),
      true,
      'nothing of the buffer is said to be data',
    );
    assert.deepEqual([request(IN, 255, 1024), request(IN, 0, 513), request(IN, 2 ** 60, 512)], [IOERR, IOERR, IOERR]);
    assert.deepEqual([request(OUT, 256, 512), request(OUT, 0, 100)], [IOERR, IOERR]);
    assert.deepEqual(disk.bytes, before);
  });

  it('refuses what it does not know', () => {
    assert.equal(setup().request(DISCARD, 0, 512), UNSUPP);
  });

  it('refuses to write a read-only disk', () => {
    const { request, disk } = setup(new Disk(4, true));
    assert.equal(request(OUT, 0, 512), IOERR);
    assert.equal(disk.bytes[0], 1);
    assert.equal(request(IN, 0, 512), OK);
  });

  it('needs a reset after a request without header or status', () => {
    for (const short of [true, false]) {
      const { driver, header, status } = setup();
      driver.submit({ ...header(IN, 0), length: short ? 15 : 16 }, ...(short ? [status] : []));
      assert.match(driver.transport.problem() ?? '', /lacks room/);
      assert.equal(driver.usedIndex, 0);
    }
  });
});
