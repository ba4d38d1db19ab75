// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findMultiboot1, findMultiboot2, HEADER_TAG } from './multiboot.ts';

function words(at: number, ...values: number[]): Uint8Array {
  const file = new Uint8Array(40000);
  values.forEach((value, index) => new DataView(file.buffer).setUint32(at + index * 4, value, true));
  return file;
}
const checksum = (...values: number[]): number => -values.reduce((sum, value) => sum + value, 0) >>> 0;

test('a multiboot 1 header with address fields', () => {
  const flags = 0x00010003;
  const file = words(
    0x40,
    0x1badb002,
    flags,
    checksum(0x1badb002, flags),
    0x100040,
    0x100000,
    0x104000,
    0x108000,
    0x100050,
  );
  const header = findMultiboot1(file, 'k')!;
  assert.equal(header.offset, 0x40);
  assert.deepEqual(header.addresses, { header: 0x100040, load: 0x100000, loadEnd: 0x104000, bssEnd: 0x108000 });
  assert.equal(header.entry, 0x100050);
});

test('the magic without its checksum, off its boundary or after 8 KiB is no header', () => {
  assert.equal(findMultiboot1(words(0, 0x1badb002, 3, 0), 'k'), undefined);
  assert.equal(findMultiboot1(words(2, 0x1badb002, 3, checksum(0x1badb002, 3)), 'k'), undefined);
  assert.equal(findMultiboot1(words(8192, 0x1badb002, 3, checksum(0x1badb002, 3)), 'k'), undefined);
  assert.equal(findMultiboot1(words(8180, 0x1badb002, 3, checksum(0x1badb002, 3)), 'k')?.offset, 8180);
  assert.throws(
    () => findMultiboot1(words(0, 0x1badb002, 0x10000, checksum(0x1badb002, 0x10000)).slice(0, 20), 'k'),
    /k is damaged.*cut off/,
  );
});

const head = (length: number): number[] => [0xe85250d6, 0, length, checksum(0xe85250d6, length)];
const END = [0, 8];

test('a multiboot 2 header with tags', () => {
  // information request (optional bit clear) for 4 and 6; address; entry; relocatable, optional; end
  const tags = [
    1,
    16,
    4,
    6,
    2,
    24,
    0x200000,
    0x200000,
    0,
    0,
    3,
    12,
    0x200010,
    0,
    10 | (1 << 16),
    24,
    1,
    2,
    3,
    4,
    ...END,
  ];
  const header = findMultiboot2(words(0x1000, ...head(16 + tags.length * 4), ...tags), 'k')!;
  assert.equal(header.offset, 0x1000);
  assert.deepEqual(header.requiredInformation, [4, 6]);
  assert.deepEqual(header.addresses, { header: 0x200000, load: 0x200000, loadEnd: 0, bssEnd: 0 });
  assert.equal(header.entry, 0x200010);
  assert.equal(header.alignModules, false);
  assert.deepEqual(
    header.tags.map((tag) => [tag.type, tag.optional]),
    [
      [1, false],
      [2, false],
      [3, false],
      [HEADER_TAG.relocatable, true],
    ],
  );
});

test('a multiboot 2 header that contradicts itself is refused', () => {
  assert.throws(() => findMultiboot2(words(0, ...head(32), 2, 12, 0, 0), 'k'), /tag of type 2 with impossible size 12/);
  assert.throws(() => findMultiboot2(words(0, ...head(24), 1, 4000), 'k'), /tag of type 1 with impossible size 4000/);
  assert.throws(() => findMultiboot2(words(0, ...head(24), 6, 8), 'k'), /no end tag/);
  assert.throws(() => findMultiboot2(words(0, ...head(0x100000), ...END), 'k'), /longer than the file/);
  assert.equal(findMultiboot2(words(4, ...head(24), ...END), 'k'), undefined);
});
