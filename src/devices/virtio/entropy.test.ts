// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BUFFERS, TestDriver } from './driver-fixture.test.ts';
import { VirtioEntropy } from './entropy.ts';

describe('virtio-rng', () => {
  it('fills every buffer of a request from its source, in order', () => {
    const asked: number[] = [];
    let next = 0;
    const source = {
      fill: (bytes: Uint8Array) => {
        asked.push(bytes.length);
        bytes.forEach((_, index) => (bytes[index] = next++ % 251));
      },
    };
    const driver = new TestDriver(new VirtioEntropy(source)).start();
    assert.equal(driver.config(0, 4), 0x1044_1af4);
    driver.submit({ at: BUFFERS, length: 5000, write: true }, { at: BUFFERS + 0x2000, length: 100, write: true });
    assert.deepEqual(driver.used(0), { head: 0, length: 5100 });
    assert.equal(
      asked.reduce((sum, length) => sum + length),
      5100,
    );
    const { ram } = driver.machine;
    assert.deepEqual([ram[BUFFERS + 4999], ram[BUFFERS + 5000]], [4999 % 251, 0]);
    assert.deepEqual([ram[BUFFERS + 0x2000], ram[BUFFERS + 0x2063]], [5000 % 251, 5099 % 251]);
  });
});
