// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../base/errors.ts';
import { textBytes } from '../formats/ascii.ts';
import { detectKernel, planBoot } from './kernel.ts';
import { pcLayout } from './layout.ts';
import { concatenate } from './structure.ts';
import { multiboot1Header, multiboot2Header, pvhNote, syntheticBzImage, syntheticElf } from './synthetic-kernels.ts';

test('a multiboot header wins over HdrS, version 1 over 2', () => {
  const bzImage = syntheticBzImage();
  assert.equal(detectKernel(bzImage, 'k'), 'linux');
  const both = concatenate([bzImage.subarray(0, 0x800), multiboot1Header(0), bzImage.subarray(0x80c)]);
  assert.equal(detectKernel(both, 'k'), 'multiboot1');
  assert.equal(detectKernel(concatenate([multiboot2Header([]), multiboot1Header(0)]), 'k'), 'multiboot1');
  assert.equal(detectKernel(multiboot2Header([]), 'k'), 'multiboot2');
  assert.equal(detectKernel(syntheticElf(64, 0, [{ type: 4, physicalAddress: 0, bytes: pvhNote(0) }]), 'k'), 'pvh');
});

// prettier-ignore
const NOT_KERNELS: readonly [what: string, bytes: Uint8Array, message: RegExp, hint: RegExp][] = [
  ['nothing',  new Uint8Array(0),                            /^k is empty$/,             /--kernel/],
  ['gzip',     Uint8Array.of(0x1f, 0x8b, 8, 0),              /compressed with gzip/,     /gunzip/],
  ['deb',      textBytes('!<arch>\ndebian-binary'),          /\.deb/,                    /vmlinuz/],
  ['initrd',   textBytes('070701000000'),                    /cpio archive/,             /--initrd/],
  ['text',     textBytes('<!DOCTYPE html>'),                 /not a kernel this machine/, /bzImage/],
  ['one byte', Uint8Array.of(0x7f),                          /not a kernel this machine/, /bzImage/],
];

for (const [what, bytes, message, hint] of NOT_KERNELS) {
  test(`not a kernel: ${what}`, () => {
    assert.throws(
      () => detectKernel(bytes, 'k'),
      (error) => error instanceof UserError && message.test(error.message) && hint.test(error.hint),
    );
  });
}

test('a machine that is too small for a PC is refused', () => {
  const request = { kernel: syntheticBzImage(), kernelName: 'k', commandLine: '', modules: [] };
  assert.throws(() => planBoot(request, pcLayout({ memoryBytes: 2 ** 20 })), /a PC needs at least 2 MiB/);
});

test('every byte of every write lies in memory or in the BIOS area', () => {
  const request = { kernel: syntheticBzImage(), kernelName: 'k', commandLine: 'x', modules: [] };
  for (const { address, bytes, what } of planBoot(request, pcLayout({ memoryBytes: 64 * 2 ** 20 })).writes) {
    assert.ok(
      address + bytes.length <= 0xa0000 || (address >= 0xe0000 && address + bytes.length <= 64 * 2 ** 20),
      what,
    );
  }
});
