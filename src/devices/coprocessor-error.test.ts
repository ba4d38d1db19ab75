// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoprocessorError } from './coprocessor-error.ts';

test('FERR# raises the line; port F0h takes it back and asserts IGNNE# until FERR# goes', () => {
  const levels: boolean[] = [];
  const error = new CoprocessorError({ set: (asserted) => void levels.push(asserted) });
  error.ferr(true);
  error.ferr(true);
  assert.deepEqual([levels, error.ignne], [[true], false]);
  error.writePort(0xf0, 1, 0);
  assert.deepEqual([levels, error.ignne], [[true, false], true]);
  error.ferr(false);
  assert.equal(error.ignne, false);
});

test('without an error the port does nothing', () => {
  const error = new CoprocessorError({ set: () => undefined });
  error.writePort(0xf0, 1, 0);
  assert.deepEqual(error.save(), { ferr: 0, ignne: 0 });
});
