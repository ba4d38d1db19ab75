// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BUFFERS, counting, F_INDIRECT, TestDriver, WRITABLE } from './driver-fixture.test.ts';

const [COMMON, ISR] = [1, 3];
const NEEDS_RESET = 64;

/** Starts a driver, lets it do wrong, and returns what the device says of it. */
function problemOf(wrong: (driver: TestDriver) => void, features = 0): { problem: string | undefined; status: number } {
  const driver = new TestDriver(counting()).start(features);
  wrong(driver);
  return { problem: driver.transport.problem(), status: driver.status };
}

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
        d.submit(WRITABLE, { at: BUFFERS, length: 4 });
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
        d.offer(d.indirectChain([WRITABLE]));
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
    driver.submit(WRITABLE);
    assert.deepEqual([driver.usedIndex, driver.transport.problem()], [1, undefined]);
  });

  it('without Bus Master reaches no memory', () => {
    const driver = new TestDriver(counting()).start();
    driver.config(0x04, 2, 2);
    driver.submit(WRITABLE);
    assert.equal(driver.usedIndex, 0);
    assert.equal(driver.machine.ram[BUFFERS], 0);
  });
});
