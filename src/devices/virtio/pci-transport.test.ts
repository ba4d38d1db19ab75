// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BUFFERS, F_EVENT_IDX, F_INDIRECT, MESSAGE_BASE, TestDriver } from './driver-fixture.test.ts';
import type { VirtioDevice } from './device.ts';
import { VirtioEntropy } from './entropy.ts';
import type { VirtioPci } from './pci-transport.ts';

const [COMMON, NOTIFY, ISR, DEVICE, PCI_CFG] = [1, 2, 3, 4, 5];
const NEEDS_RESET = 64;

/** Fills with 1, 2, 3 … */
function counting(): VirtioEntropy {
  let next = 0;
  return new VirtioEntropy({ fill: (bytes) => bytes.forEach((_, index) => (bytes[index] = ++next)) });
}

const WRITE = { at: BUFFERS, length: 4, write: true };

/** Starts a driver, lets it do wrong, and returns what the device says of it. */
function problemOf(wrong: (driver: TestDriver) => void, features = 0): { problem: string | undefined; status: number } {
  const driver = new TestDriver(counting()).start(features);
  wrong(driver);
  return { problem: driver.transport.problem(), status: driver.status };
}

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
    driver.submit(WRITE);
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
    driver.submit(WRITE);
    assert.deepEqual([driver.usedIndex, driver.used(0).length], [1, 4], 'the rings start anew');
  });
});

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
    driver.submit(WRITE);
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
    for (let count = 0; count < 0x10005; count++) driver.submit(WRITE);
    assert.equal(driver.usedIndex, 5);
    assert.equal(driver.status, 15);
  });

  it('serves all that is available at one notification, with one interrupt', () => {
    const driver = new TestDriver(counting()).start().useMessages();
    for (let count = 0; count < 3; count++) driver.offer(driver.chain([WRITE]));
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
    driver.submit(WRITE);
    assert.equal(driver.interrupts.gsi[17], true);
    assert.equal(driver.read(ISR, 0, 1), 1);
    assert.equal(driver.interrupts.gsi[17], false);
    assert.equal(driver.read(ISR, 0, 1), 0);
  });

  it('is the message of its vector under MSI-X, and no INTx', () => {
    const driver = new TestDriver(counting()).start().useMessages();
    driver.submit(WRITE);
    assert.deepEqual(driver.interrupts.messages, [{ requesterId: 8, address: MESSAGE_BASE, data: 0x41 }]);
    assert.deepEqual([driver.interrupts.gsi[17], driver.read(ISR, 0, 1)], [false, 0]);
    driver.write(COMMON, 0x1a, 2, 0xffff);
    driver.submit(WRITE);
    assert.equal(driver.interrupts.messages.length, 1, 'no vector, no message');
  });

  it('is suppressed by VIRTQ_AVAIL_F_NO_INTERRUPT', () => {
    const driver = new TestDriver(counting()).start().useMessages();
    driver.availFlags = 1;
    driver.submit(WRITE);
    assert.equal(driver.interrupts.messages.length, 0);
    driver.availFlags = 0;
    driver.submit(WRITE);
    assert.equal(driver.interrupts.messages.length, 1);
  });

  it('follows used_event with EVENT_IDX, whatever the flag says', () => {
    const driver = new TestDriver(counting()).start(F_EVENT_IDX).useMessages();
    driver.availFlags = 1;
    driver.usedEvent = 2;
    const messages = [1, 2, 3, 4].map(() => {
      driver.submit(WRITE);
      return driver.interrupts.messages.length;
    });
    assert.deepEqual(messages, [0, 0, 1, 1], 'when the third (index 2) was used');
    driver.usedEvent = 5;
    for (let count = 0; count < 3; count++) driver.offer(driver.chain([WRITE]));
    driver.kick();
    assert.equal(driver.interrupts.messages.length, 2, 'within a batch');
  });

  it('tells the driver through avail_event when to notify', () => {
    const driver = new TestDriver(counting()).start(F_EVENT_IDX);
    for (const expected of [1, 2, 3]) {
      driver.submit(WRITE);
      assert.equal(driver.availEvent, expected);
    }
    const without = new TestDriver(counting()).start();
    without.submit(WRITE);
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
    const heads = [driver.submit(WRITE), driver.submit(WRITE)];
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

describe('a driver that does wrong', () => {
  const cases: [title: string, pattern: RegExp, wrong: (driver: TestDriver) => void, features?: number][] = [
    [
      'jumps ahead in the available ring',
      /more than the queue size/,
      (d) => {
        d.availIndex = 9;
        d.kick();
      },
    ],
    [
      'makes a head available that is none',
      /not below the queue size/,
      (d) => {
        d.offer(8);
        d.kick();
      },
    ],
    [
      'chains beyond the table',
      /beyond its table/,
      (d) => {
        d.describe(0, BUFFERS, 4, 1, 8);
        d.offer(0);
        d.kick();
      },
    ],
    [
      'chains in a loop',
      /longer than its table/,
      (d) => {
        d.describe(0, BUFFERS, 4, 1, 1);
        d.describe(1, BUFFERS, 4, 1, 0);
        d.offer(0);
        d.kick();
      },
    ],
    [
      'chains 4 GiB',
      /4 GiB/,
      (d) => {
        d.submit({ at: 0, length: 2 ** 31, write: true }, { at: 0, length: 2 ** 31, write: true });
      },
    ],
    [
      'lets a readable buffer follow a writable one',
      /follows/,
      (d) => {
        d.submit(WRITE, { at: BUFFERS, length: 4 });
      },
    ],
    [
      'points beyond physical addresses',
      /52 address bits/,
      (d) => {
        d.submit({ at: 2 ** 52, length: 4, write: true });
      },
    ],
    [
      'uses an indirect table unasked',
      /without VIRTIO_F_INDIRECT_DESC/,
      (d) => {
        d.offer(d.indirectChain([WRITE]));
        d.kick();
      },
    ],
    [
      'nests indirect tables',
      /within an indirect table/,
      (d) => {
        d.describe(0, 0x4000, 16, 4, 0);
        d.describe(0, 0x4000, 16, 4, 0, 0x4000);
        d.offer(0);
        d.kick();
      },
      F_INDIRECT,
    ],
    [
      'chains on after an indirect table',
      /whole descriptors/,
      (d) => {
        d.describe(0, 0x4000, 16, 5, 1);
        d.offer(0);
        d.kick();
      },
      F_INDIRECT,
    ],
    [
      'gives an indirect table of half a descriptor',
      /whole descriptors/,
      (d) => {
        d.describe(0, 0x4000, 24, 4, 0);
        d.offer(0);
        d.kick();
      },
      F_INDIRECT,
    ],
    [
      'loops within an indirect table',
      /longer than its table/,
      (d) => {
        d.describe(0, 0x4000, 32, 4, 0);
        d.describe(0, BUFFERS, 1, 3, 1, 0x4000);
        d.describe(1, BUFFERS, 1, 3, 0, 0x4000);
        d.offer(0);
        d.kick();
      },
      F_INDIRECT,
    ],
    [
      'asks for no entropy',
      /lacks room/,
      (d) => {
        d.submit({ at: BUFFERS, length: 4 });
      },
    ],
  ];
  for (const [title, pattern, wrong, features] of cases) {
    it(`${title}: the device needs a reset`, () => {
      const { problem, status } = problemOf(wrong, features);
      assert.match(problem ?? '', pattern);
      assert.equal(status, 15 | NEEDS_RESET);
    });
  }

  it('sets up a queue badly', () => {
    const badSize = problemOf((driver) => {
      driver.negotiate(0);
      driver.write(COMMON, 0x18, 2, 6);
      assert.equal(driver.read(ISR, 0, 1), 0, 'no interrupt before DRIVER_OK');
    });
    assert.match(badSize.problem ?? '', /power of two/);
    for (const [register, value] of [
      [0x20, 0x1008],
      [0x28, 0x2001],
      [0x30, 0x3002],
      [0x24, 2 ** 20],
    ]) {
      const { problem } = problemOf((driver) => {
        driver.negotiate(0);
        driver.write(COMMON, register, 4, value);
        driver.write(COMMON, 0x1c, 2, 1);
      });
      assert.match(problem ?? '', /misaligned or beyond/);
    }
  });

  it('is told by a configuration interrupt, ignored until it resets, and then served', () => {
    const driver = new TestDriver(counting()).start().useMessages();
    driver.availIndex = 9;
    driver.kick();
    assert.deepEqual(
      driver.interrupts.messages.map(({ data }) => data),
      [0x40],
    );
    driver.availIndex = 1;
    driver.kick();
    driver.status = 15;
    assert.deepEqual([driver.usedIndex, driver.status], [0, 15 | NEEDS_RESET], 'writing 15 does not clear it');
    driver.start();
    driver.submit(WRITE);
    assert.deepEqual([driver.usedIndex, driver.transport.problem()], [1, undefined]);
  });

  it('without Bus Master reaches no memory', () => {
    const driver = new TestDriver(counting()).start();
    driver.config(0x04, 2, 2);
    driver.submit(WRITE);
    assert.equal(driver.usedIndex, 0);
    assert.equal(driver.machine.ram[BUFFERS], 0);
  });
});

describe('the state of a transport', () => {
  it('goes on in another machine where it was saved', () => {
    const first = new TestDriver(counting()).start(F_EVENT_IDX).useMessages();
    first.submit(WRITE);
    first.submit(WRITE);
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
