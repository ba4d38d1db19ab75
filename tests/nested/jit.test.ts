// SPDX-License-Identifier: Apache-2.0
// L1 and its L2, interpreted and compiled: the same exits at the same instruction and the same tick, the same memory.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Machine } from '../../src/machine/machine.ts';
import { IMAGES, readImage } from './image.ts';
import { differences, readLog } from './log.ts';
import { kernelFor, runBare, runUnderL0 } from './runs.ts';

const WHOLE = 4e7;
const kernel = kernelFor(readImage(IMAGES.l1).bytes, {
  profile: 'modern-1',
  ept: true,
  dirtyFlags: true,
  vpid: true,
  tprShadow: true,
});

describe('exits of compiled code', () => {
  for (const jit of ['soon', 'eager'] as const) {
    test(`${jit}, on the machine itself`, () => {
      const expected = runBare(kernel, 'modern-1', { jit: 'off' });
      assert.ok(readLog(expected.log).exits.length > 50);
      assert.deepEqual(differences(expected, runBare(kernel, 'modern-1', { jit })), []);
    });

    test(`${jit}, under L0, in slices of 997 ticks`, () => {
      const expected = runUnderL0(kernel, 'modern-1', WHOLE, { jit: 'off' });
      assert.deepEqual(differences(expected, runUnderL0(kernel, 'modern-1', 997, { jit })), []);
    });
  }

  test('the window for interrupts opens where it does because the unit says that something waits for it', () => {
    const deaf = ({ processors: [{ vmx }] }: Machine): void =>
      void Object.defineProperty(vmx, 'waits', { value: false });
    for (const jit of ['off', 'soon'] as const) {
      const expected = runBare(kernel, 'modern-1', { jit });
      const found = differences(expected, runBare(kernel, 'modern-1', { jit, prepare: deaf })).join('\n');
      assert.match(found, /^exit \d+, INTERRUPT_WINDOW at \w+: TSC is/);
    }
  });
});
