// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  BUFFERS,
  counting,
  F_EVENT_IDX,
  F_INDIRECT,
  MESSAGE_BASE,
  TestDriver,
  WRITABLE,
} from './driver-fixture.test.ts';
import type { VirtioDevice } from './device.ts';

const [COMMON, ISR, DEVICE] = [1, 3, 4];

describe('a split virtqueue', () => {
  it('serves a notified request and gives it back', () => {
    const driver = new TestDriver(counting()).start();
    const head = driver.submit(
      { at: BUFFERS, length: 3, write: true },
      { at: BUFFERS + 0x100, length: 2, write: true },
    );
    assert.deepEqual(driver.used(0), { head, length: 5 });
    assert.deepEqual([...driver.machine.ram.subarray(BUFFERS, BUFFERS + 4)], [1, 2, 3, 0]);
    assert.deepEqual([...driver.machine.ram.subarray(BUFFERS + 0x100, BUFFERS + 0x103)], [4, 5, 0]);
  });

  it('does nothing before DRIVER_OK, before queue_enable, or for a queue it has not', () => {
    const driver = new TestDriver(counting());
    driver.negotiate(0);
    driver.setUpQueue();
    driver.submit(WRITABLE);
    assert.equal(driver.usedIndex, 0);
    driver.status = 15;
    driver.kick(1);
    assert.equal(driver.usedIndex, 0);
    driver.kick();
    assert.equal(driver.usedIndex, 1);
    driver.negotiate(0);
    driver.status = 15;
    driver.ram.setUint16(2, 9, true);
    driver.kick();
    assert.deepEqual([driver.usedIndex, driver.status], [1, 15], 'a queue reset and not enabled');
  });

  it('goes round its rings, and over the end of the index', () => {
    const driver = new TestDriver(counting()).start();
    for (let count = 0; count < 0x10005; count++) driver.submit(WRITABLE);
    assert.equal(driver.usedIndex, 5);
    assert.equal(driver.status, 15);
  });

  it('serves all that is available at one notification, with one interrupt', () => {
    const driver = new TestDriver(counting()).start().useMessages();
    for (let count = 0; count < 3; count++) driver.offer(driver.chain([WRITABLE]));
    driver.kick();
    assert.equal(driver.usedIndex, 3);
    assert.equal(driver.interrupts.messages.length, 1);
  });

  it('takes indirect tables, longer than the queue', () => {
    const driver = new TestDriver(counting()).start(F_INDIRECT);
    const buffers = Array.from({ length: 20 }, (_, index) => ({ at: BUFFERS + 16 * index, length: 1, write: true }));
    driver.offer(driver.indirectChain(buffers));
    driver.kick();
    assert.deepEqual(driver.used(0), { head: 0, length: 20 });
    assert.equal(driver.machine.ram[BUFFERS + 16 * 19], 20);
  });
});

describe('the interrupt of a queue', () => {
  it('is INTx with the ISR, which reading acknowledges', () => {
    const driver = new TestDriver(counting()).start();
    driver.submit(WRITABLE);
    assert.equal(driver.interrupts.gsi[17], true);
    assert.equal(driver.read(ISR, 0, 1), 1);
    assert.equal(driver.interrupts.gsi[17], false);
    assert.equal(driver.read(ISR, 0, 1), 0);
  });

  it('is the message of its vector under MSI-X, and no INTx', () => {
    const driver = new TestDriver(counting()).start().useMessages();
    driver.submit(WRITABLE);
    assert.deepEqual(driver.interrupts.messages, [{ requesterId: 8, address: MESSAGE_BASE, data: 0x41 }]);
    assert.deepEqual([driver.interrupts.gsi[17], driver.read(ISR, 0, 1)], [false, 0]);
    driver.write(COMMON, 0x1a, 2, 0xffff);
    driver.submit(WRITABLE);
    assert.equal(driver.interrupts.messages.length, 1, 'no vector, no message');
  });

  it('is suppressed by VIRTQ_AVAIL_F_NO_INTERRUPT', () => {
    const driver = new TestDriver(counting()).start().useMessages();
    driver.availFlags = 1;
    driver.submit(WRITABLE);
    assert.equal(driver.interrupts.messages.length, 0);
    driver.availFlags = 0;
    driver.submit(WRITABLE);
    assert.equal(driver.interrupts.messages.length, 1);
  });

  it('follows used_event with EVENT_IDX, whatever the flag says', () => {
    const driver = new TestDriver(counting()).start(F_EVENT_IDX).useMessages();
    driver.availFlags = 1;
    driver.usedEvent = 2;
    const messages = [1, 2, 3, 4].map(() => {
      driver.submit(WRITABLE);
      return driver.interrupts.messages.length;
    });
    assert.deepEqual(messages, [0, 0, 1, 1], 'when the third (index 2) was used');
    driver.usedEvent = 5;
    for (let count = 0; count < 3; count++) driver.offer(driver.chain([WRITABLE]));
    driver.kick();
    assert.equal(driver.interrupts.messages.length, 2, 'within a batch');
  });

  it('tells the driver through avail_event when to notify', () => {
    const driver = new TestDriver(counting()).start(F_EVENT_IDX);
    for (const expected of [1, 2, 3]) {
      driver.submit(WRITABLE);
      assert.equal(driver.availEvent, expected);
    }
    const without = new TestDriver(counting()).start();
    without.submit(WRITABLE);
    assert.equal(without.availEvent, 0);
  });
});

describe('a request completed later', () => {
  /** Keeps requests until told. */
  class Slow implements VirtioDevice {
    readonly name = 'slow';
    readonly deviceId = 42;
    readonly classCode = 0;
    readonly queueSizes = [8];
    readonly features = [];
    readonly config = Uint8Array.of(1, 2, 3, 4);
    readonly heads: number[] = [];

    request(_queue: number, chain: { head: number }): undefined {
      this.heads.push(chain.head);
    }
  }

  it('interrupts then, in any order', () => {
    const device = new Slow();
    const driver = new TestDriver(device).start().useMessages();
    const heads = [driver.submit(WRITABLE), driver.submit(WRITABLE)];
    assert.deepEqual([device.heads, driver.usedIndex, driver.interrupts.messages.length], [heads, 0, 0]);
    driver.transport.complete(0, heads[1], 4);
    driver.transport.complete(0, heads[0], 2);
    assert.deepEqual(
      [driver.used(0), driver.used(1)],
      [
        { head: heads[1], length: 4 },
        { head: heads[0], length: 2 },
      ],
    );
    assert.equal(driver.interrupts.messages.length, 2);
  });

  it('device configuration reads within its bounds, and a change interrupts', () => {
    const driver = new TestDriver(new Slow()).start().useMessages();
    assert.equal(driver.read(DEVICE, 0, 4), 0x0403_0201);
    assert.equal(driver.read(DEVICE, 2, 4), 0);
    assert.equal(driver.read(DEVICE, 3, 1), 4);
    const generation = driver.read(COMMON, 0x15, 1);
    driver.transport.configurationChanged();
    assert.equal(driver.read(COMMON, 0x15, 1), generation + 1);
    assert.deepEqual(
      driver.interrupts.messages.map(({ data }) => data),
      [0x40],
    );
  });
});
