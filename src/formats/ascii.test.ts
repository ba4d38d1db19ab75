// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fixedText, nulTerminated, readText, textBytes } from './ascii.ts';

test('text becomes the UTF-8 bytes that the platform makes of it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.deepEqual(textBytes(text), new TextEncoder().encode(text));
    }),
  );
  assert.deepEqual(textBytes('\ud800'), new TextEncoder().encode('\ufffd'));
});

test('C strings and fixed fields read back', () => {
  assert.deepEqual([...nulTerminated('a%b')], [0x61, 0x25, 0x62, 0]);
  assert.deepEqual([...fixedText('OEM', 6)], [0x4f, 0x45, 0x4d, 0x20, 0x20, 0x20]);
  assert.deepEqual([...fixedText('TOOLONG', 4)], [...textBytes('TOOL')]);
  assert.equal(readText(Uint8Array.of(1, 0x48, 0x69, 0, 0x21), 1), 'Hi');
  assert.equal(readText(Uint8Array.of(0x48, 0x69), 0, 1), 'H');
  assert.equal(readText(Uint8Array.of(0x48, 0x69), 1), 'i');
});
