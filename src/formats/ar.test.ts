// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAr } from './ar.ts';

const header = (name: string, size: number | string) =>
  `${name.padEnd(16)}0           0     0     100644  ${String(size).padEnd(10)}\`\n`;
const archive = (...parts: string[]) => Buffer.from(`!<arch>\n${parts.join('')}`, 'latin1');

test('members come in order, odd sizes are padded, a trailing slash is dropped', () => {
  const members = readAr(
    archive(header('debian-binary', 4), '2.0\n', header('odd/', 3), 'abc\n', header('last', 2), 'xy'),
  );
  assert.deepEqual(
    members.map(({ name, bytes }) => [name, Buffer.from(bytes).toString()]),
    [
      ['debian-binary', '2.0\n'],
      ['odd', 'abc'],
      ['last', 'xy'],
    ],
  );
});

test('what is wrong is said', () => {
  assert.throws(() => readAr(Buffer.from('nonsense')), /ar archive.*<arch>/);
  assert.throws(() => readAr(archive(header('a', 5), 'abc')), /truncated/);
  assert.throws(() => readAr(archive(header('a', 'x'))), /bad member size/);
  assert.throws(() => readAr(archive(header('a', 2), 'abjunk')), /no member header at byte 70/);
});
