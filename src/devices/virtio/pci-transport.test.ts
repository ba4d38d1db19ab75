// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { counting, F_EVENT_IDX, F_INDIRECT, TestDriver, WRITABLE } from './driver-fixture.test.ts';
import type { VirtioPci } from './pci-transport.ts';

const [COMMON, NOTIFY, ISR, PCI_CFG] = [1, 2, 3, 5];

describe('the PCI function of a virtio device', () => {
  it('is what a modern driver looks for', () => {
    const driver = new TestDriver(counting());
    assert.equal(driver.config(0, 4), 0x1044_1af4);
    assert.equal(driver.config(8, 1), 1);
    assert.equal(driver.config(0x2c, 2), 0x1af4);
    assert.ok(driver.config(0x2e, 2) >= 0x40);
    assert.deepEqual([...driver.capabilities.keys()], [COMMON, NOTIFY, ISR, PCI_CFG], 'no device configuration');
    const lengths = [COMMON, NOTIFY, ISR].map((type) => driver.capabilities.get(type)?.length);
    assert.deepEqual(lengths, [0x38, 4, 1]);
    assert.equal(driver.config((driver.capabilities.get(NOTIFY)?.at ?? 0) + 16, 4), 4, 'notify_off_multiplier');
  });

  it('reaches its structures through configuration space, too', () => {
    const driver = new TestDriver(counting());
    const { at = 0 } = driver.capabilities.get(PCI_CFG) ?? {};
    const access = (offset: number, width: 1 | 2 | 4, value?: number) => {
      driver.config(at + 4, 1, 0);
      driver.config(at + 8, 4, offset);
      driver.config(at + 12, 4, width);
      return driver.config(at + 16, width, value);
    };
    access(0x14, 1, 3);
    assert.equal(driver.status, 3);
    assert.equal(access(0x12, 2), 1, 'num_queues');
    access(0x08, 4, 0x55);
    assert.equal(driver.read(COMMON, 0x08, 4), 0x55);
    driver.config(at + 12, 4, 3);
    driver.config(at + 16, 4, 0x77);
    assert.equal(driver.read(COMMON, 0x08, 4), 0x55, 'a length of 3 is none');
    assert.equal(driver.config(at, 1), 9, 'the header is read-only');
  });
});

describe('the common configuration', () => {
  it('offers the reserved features', () => {
    const [low, high] = new TestDriver(counting()).offered();
    assert.deepEqual([low, high], [F_INDIRECT + F_EVENT_IDX, 3]);
  });

  it('keeps FEATURES_OK only for features that will do', () => {
    const driver = new TestDriver(counting());
    for (const [low, high, accepted] of [
      [0, 1, true],
      [F_INDIRECT, 3, true],
      [0, 0, false],
      [1, 1, false],
      [0, 5, false],
    ] as const) {
      driver.negotiate(low, high);
      assert.equal((driver.status & 8) !== 0, accepted, `${low} ${high}`);
    }
  });

  it('keeps the features once they are agreed', () => {
    const driver = new TestDriver(counting());
    driver.negotiate(F_INDIRECT);
    driver.write(COMMON, 0x08, 4, 0);
    driver.write(COMMON, 0x0c, 4, 0);
    assert.equal(driver.read(COMMON, 0x0c, 4), F_INDIRECT);
  });

  it('shows queues by queue_select, none beyond the last', () => {
    const driver = new TestDriver(counting());
    assert.deepEqual(
      [driver.read(COMMON, 0x12, 2), driver.read(COMMON, 0x18, 2), driver.read(COMMON, 0x1e, 2)],
      [1, 8, 0],
    );
    driver.write(COMMON, 0x16, 2, 1);
    driver.write(COMMON, 0x18, 2, 4);
    assert.deepEqual(
      [0x18, 0x1c].map((register) => driver.read(COMMON, register, 2)),
      [0, 0],
    );
    assert.equal(driver.read(COMMON, 0x20, 4), 0);
  });

  it('reads at any width, writes only whole registers', () => {
    const driver = new TestDriver(counting());
    driver.write(COMMON, 0x10, 2, 1);
    driver.write(COMMON, 0x08, 4, 0x1122_3344);
    assert.equal(driver.read(COMMON, 0x10, 4), 0x0001_0001);
    assert.equal(driver.read(COMMON, 0x09, 1), 0x33);
    assert.equal(driver.read(COMMON, 0x0a, 2), 0x1122);
    assert.equal(driver.read(COMMON, 0x07, 4), 0x2233_4430);
    driver.write(COMMON, 0x08, 2, 0xffff);
    assert.equal(driver.read(COMMON, 0x08, 4), 0x1122_3344);
    driver.write(COMMON, 0x14, 4, 0x0000_0003);
    assert.equal(driver.status, 3);
  });

  it('gives NO_VECTOR for a vector the function has not', () => {
    const driver = new TestDriver(counting());
    for (const register of [0x10, 0x1a]) {
      assert.equal(driver.read(COMMON, register, 2), 0xffff);
      driver.write(COMMON, register, 2, 1);
      assert.equal(driver.read(COMMON, register, 2), 1);
      driver.write(COMMON, register, 2, 2);
      assert.equal(driver.read(COMMON, register, 2), 0xffff);
    }
  });

  it('freezes a queue when it is enabled', () => {
    const driver = new TestDriver(counting()).start();
    const before = [0x20, 0x28, 0x30].map((register) => driver.read(COMMON, register, 4));
    for (const register of [0x20, 0x28, 0x30]) driver.write(COMMON, register, 4, 0x7000);
    driver.write(COMMON, 0x18, 2, 4);
    driver.write(COMMON, 0x1c, 2, 0);
    assert.deepEqual(
      [0x20, 0x28, 0x30].map((register) => driver.read(COMMON, register, 4)),
      before,
    );
    assert.deepEqual([driver.read(COMMON, 0x18, 2), driver.read(COMMON, 0x1c, 2)], [8, 1]);
  });

  it('forgets everything when 0 is written to device_status', () => {
    const driver = new TestDriver(counting()).start(F_EVENT_IDX);
    driver.submit(WRITABLE);
    driver.write(COMMON, 0x10, 2, 1);
    assert.equal(driver.interrupts.gsi[17], true);
    driver.status = 0;
    assert.equal(driver.interrupts.gsi[17], false);
    assert.deepEqual(
      [
        driver.status,
        driver.read(COMMON, 0x1c, 2),
        driver.read(COMMON, 0x10, 2),
        driver.read(COMMON, 0x20, 4),
        driver.read(ISR, 0, 1),
      ],
      [0, 0, 0xffff, 0, 0],
    );
    driver.start();
    driver.submit(WRITABLE);
    assert.deepEqual([driver.usedIndex, driver.used(0).length], [1, 4], 'the rings start anew');
  });
});

describe('the state of a transport', () => {
  it('goes on in another machine where it was saved', () => {
    const first = new TestDriver(counting()).start(F_EVENT_IDX).useMessages();
    first.submit(WRITABLE);
    first.submit(WRITABLE);
    const second = new TestDriver(counting());
    const restore = (transport: VirtioPci) => {
      second.machine.ram.set(first.machine.ram);
      second.machine.pci.restore(first.machine.pci.save());
      transport.restore(first.transport.save());
    };
    restore(second.transport);
    second.ram.setUint16(0x2000 + 2, 3, true);
    second.usedEvent = 2;
    second.kick();
    assert.deepEqual([second.usedIndex, second.availEvent], [3, 3]);
    assert.deepEqual(
      second.interrupts.messages.map(({ data }) => data),
      [0x41],
    );
    assert.equal(first.usedIndex, 2);
  });
});
