// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../base/errors.ts';
import { isBzImage, parseBzImage, SETUP_HEADER_FIELDS, XLF_KERNEL_64 } from './bzimage.ts';

/** Protocol 2.15, one setup sector after the boot sector, 64 bytes of code. */
function sample(version = 0x020f): Uint8Array {
  const file = new Uint8Array(1024 + 64).fill(0x90, 1024);
  const view = new DataView(file.buffer);
  file[0x1f1] = 1;
  view.setUint32(0x1f4, 4, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint16(0x200, 0x6aeb, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, version, true);
  view.setUint16(0x20e, 0x100, true);
  view.setUint32(0x22c, 0x7fffffff, true);
  view.setUint16(0x236, 0x3f, true);
  view.setBigUint64(0x258, 0x1000000n, true);
  view.setUint32(0x268, 0x12345678, true);
  file.set([0x36, 0x2e, 0x31, 0], 0x300);
  return file;
}

test('the fields do not overlap and end where protocol 2.15 ends', () => {
  let end = 0x1f1;
  for (const [field, at, width] of SETUP_HEADER_FIELDS) {
    assert.equal(at, end, field);
    end = at + width;
  }
  assert.equal(end, 0x26c);
});

test('header, code and version text', () => {
  const image = parseBzImage(sample(), 'vmlinuz');
  assert.equal(image.header.pref_address, 0x1000000);
  assert.equal(image.header.kernel_info_offset, 0x12345678);
  assert.equal(image.header.xloadflags & XLF_KERNEL_64, XLF_KERNEL_64);
  assert.equal(image.protectedModeCode.length, 64);
  assert.equal(image.versionText, '6.1');
  assert.equal(image.headerBytes.length, 0x202 + 0x6a - 0x1f1, 'the jump over the header tells its length');
});

test('an older protocol has no later fields', () => {
  const { header } = parseBzImage(sample(0x020b), 'vmlinuz');
  assert.equal(header.xloadflags, 0);
  assert.equal(header.pref_address, 0x1000000);
  assert.equal(parseBzImage(sample(0x0203), 'vmlinuz').header.pref_address, 0);
});

test('wrong and truncated files are named', () => {
  assert.equal(isBzImage(new Uint8Array(10)), false);
  assert.throws(
    () => parseBzImage(new Uint8Array(4096), 'k'),
    (error) => error instanceof UserError && /k is not a bzImage/.test(error.message),
  );
  assert.throws(() => parseBzImage(sample().slice(0, 0x230), 'k'), /k is truncated: the setup header ends at byte 620/);
  assert.throws(
    () => parseBzImage(sample().slice(0, 1024 + 40), 'k'),
    /k is truncated: the kernel ends at byte 1088, the file has 1064/,
  );
  assert.equal(
    parseBzImage(sample().slice(0, 1024 + 50), 'k').protectedModeCode.length,
    50,
    'syssize counts whole paragraphs',
  );
});
