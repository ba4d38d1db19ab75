// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readCpio, writeCpio } from './cpio.ts';
import type { CpioEntry } from './cpio.ts';

const FILE: CpioEntry = { kind: 'file', path: 'init', mode: 0o755, bytes: Buffer.from('#!/bin/sh\n') };

test('one file, byte for byte', () => {
  const text = Buffer.from(writeCpio([FILE])).toString('latin1');
  const header = (inode: number, mode: number, links: number, size: number, nameSize: number) =>
    [
      '070701',
      ...[inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, nameSize, 0].map((n) => n.toString(16).padStart(8, '0')),
    ].join('');
  assert.equal(
    text,
    `${header(1, 0o100755, 1, 10, 5)}init\0\0#!/bin/sh\n\0\0${header(0, 0, 1, 0, 11)}TRAILER!!!\0\0\0\0`,
  );
});

test('the order of the entries does not matter, and the archive is read back', () => {
  const path = fc.stringMatching(/^[a-z]{1,9}$/);
  const entry: fc.Arbitrary<CpioEntry> = fc.oneof(
    fc.record({
      kind: fc.constant('file' as const),
      path,
      mode: fc.nat(0o7777),
      bytes: fc.uint8Array({ maxLength: 40 }),
    }),
    fc.record({ kind: fc.constant('directory' as const), path, mode: fc.nat(0o7777) }),
    fc.record({ kind: fc.constant('symlink' as const), path, target: path }),
    fc.record({
      kind: fc.constant('device' as const),
      path,
      mode: fc.nat(0o777),
      major: fc.nat(255),
      minor: fc.nat(255),
    }),
  );
  const entries = fc.uniqueArray(entry, { selector: (row) => row.path, maxLength: 12 });
  fc.assert(
    fc.property(entries, (rows) => {
      const archive = writeCpio(rows);
      assert.deepEqual(archive, writeCpio(rows.toReversed()));
      assert.equal(archive.length % 4, 0);
      const read = readCpio(archive).map((row) =>
        row.kind === 'file' ? { ...row, bytes: Uint8Array.from(row.bytes) } : row,
      );
      assert.deepEqual(
        read,
        rows.map((row) => ({ ...row })).toSorted((a, b) => (a.path < b.path ? -1 : 1)),
      );
    }),
  );
});

test('two entries for one path are a bug; damaged archives are refused', () => {
  assert.throws(() => writeCpio([FILE, FILE]), /two entries for init/);
  assert.throws(() => readCpio(writeCpio([FILE]).subarray(0, 118)), /truncated in init/);
  assert.throws(() => readCpio(Buffer.from('070707 old format')), /no header at byte 0/);
});
