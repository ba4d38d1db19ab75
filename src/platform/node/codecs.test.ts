// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { Codecs } from './codecs.ts';

const codecs = new Codecs();
/** The line "turtles", compressed by xz. */
const XZ = '/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAHdHVydGxlcwoATwKD33jatI8AASAIuxnZux+2830BAAAAAARZWg==';

test('gzip, zstd and xz', async () => {
  const text = Buffer.from('turtles\n');
  assert.deepEqual(await codecs.decompress('gzip', gzipSync(text)), text);
  assert.deepEqual(await codecs.decompress('zstd', zstdCompressSync(text)), text);
  assert.deepEqual(await codecs.decompress('xz', Buffer.from(XZ, 'base64')), text);
});

test('what is not in the format is refused', async () => {
  for (const format of ['gzip', 'zstd', 'xz'] as const)
    await assert.rejects(codecs.decompress(format, Buffer.from('nonsense nonsense nonsense')));
  await assert.rejects(codecs.decompress('xz', Buffer.from(XZ, 'base64').subarray(0, 40)));
});

test('SHA-256 is the one of FIPS 180-4', () => {
  assert.equal(codecs.sha256(Buffer.from('abc')), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
