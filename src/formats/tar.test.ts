// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTar } from './tar.ts';

interface Row {
  name: string;
  type?: string;
  body?: string;
  target?: string;
  prefix?: string;
  magic?: string;
  size?: number;
}

/** One header and its body, padded; an independent writer after POSIX.1-1988. */
function block({ name, type = '0', body = '', target = '', prefix = '', magic = 'ustar\x0000', size }: Row): Buffer {
  const bytes = Buffer.from(body);
  const header = Buffer.alloc(512);
  const put = (text: string, offset: number) => header.write(text, offset);
  put(name, 0);
  put('0000755\0', 100);
  put(`${(size ?? bytes.length).toString(8).padStart(11, '0')}\0`, 124);
  put('        ', 148);
  put(type, 156);
  put(target, 157);
  put(magic, 257);
  put(prefix, 345);
  put(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}
const archive = (...rows: Row[]) => Buffer.concat([...rows.map(block), Buffer.alloc(1024)]);
const pax = (key: string, value: string) => {
  const rest = ` ${key}=${value}\n`;
  const length = Buffer.byteLength(rest) + 2;
  return `${length}${rest}`;
};

test('files, folders, symlinks and hard links', () => {
  const entries = readTar(
    archive(
      { name: './', type: '5' },
      { name: './bin/', type: '5' },
      { name: './bin/a', body: 'hello' },
      { name: './bin/b', type: '2', target: '../x' },
      { name: './bin/c', type: '1', target: './bin/a' },
      { name: './dev/null', type: '3' },
    ),
  );
  assert.deepEqual(
    entries.map(({ path, kind, target, bytes }) => [path, kind, target, Buffer.from(bytes).toString()]),
    [
      ['', 'directory', '', ''],
      ['bin', 'directory', '', ''],
      ['bin/a', 'file', '', 'hello'],
      ['bin/b', 'symlink', '../x', ''],
      ['bin/c', 'hardlink', 'bin/a', ''],
      ['dev/null', 'other', '', ''],
    ],
  );
  assert.equal(entries[2]!.mode, 0o755);
});

test('long names: prefix, GNU L and K, pax', () => {
  const long = `usr/share/${'d'.repeat(120)}/file`;
  const entries = readTar(
    archive(
      { name: 'file', prefix: 'a/b' },
      { name: '././@LongLink', type: 'L', body: `./${long}\0`, magic: 'ustar  ' },
      { name: 'cut', magic: 'ustar  ' },
      { name: '././@LongLink', type: 'K', body: `${long}\0`, magic: 'ustar  ' },
      { name: 'link', type: '2', target: 'cut', magic: 'ustar  ' },
      { name: 'g', type: 'g', body: pax('comment', 'x') },
      { name: 'x', type: 'x', body: pax('path', 'grün/ß') },
      { name: 'cut', body: '1' },
      { name: 'after' },
    ),
  );
  assert.deepEqual(
    entries.map(({ path }) => path),
    ['a/b/file', long, 'link', 'grün/ß', 'after'],
  );
  assert.equal(entries[2]!.target, long);
});

test('a damaged archive is refused', () => {
  const good = archive({ name: 'a', body: 'b' });
  const flipped = Buffer.from(good);
  flipped[0] = 0x62;
  assert.throws(() => readTar(flipped), /checksum at byte 0/);
  assert.throws(() => readTar(good.subarray(0, 512)), /truncated/);
  assert.throws(() => readTar(archive({ name: 'a', size: 4096 })), /truncated in the entry at byte 0/);
});
