// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { UserError } from '../base/errors.ts';
import { elfNotes, MACHINE_X86_64, parseElf, PT_LOAD, PT_NOTE, segmentBytes } from './elf.ts';

/** ELF64, one PT_LOAD of 8 bytes and one PT_NOTE with two notes; written out so that the offsets are visible. */
function sample(): Uint8Array {
  const file = new Uint8Array(64 + 2 * 56 + 8 + 40);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(24, 0x1000010n, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 2, true);
  const row = (
    at: number,
    type: number,
    offset: number,
    virtual: bigint,
    physical: bigint,
    size: number,
    memory: number,
  ): void => {
    view.setUint32(at, type, true);
    view.setUint32(at + 4, 5, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 16, virtual, true);
    view.setBigUint64(at + 24, physical, true);
    view.setBigUint64(at + 32, BigInt(size), true);
    view.setBigUint64(at + 40, BigInt(memory), true);
    view.setBigUint64(at + 48, 4n, true);
  };
  row(64, PT_LOAD, 176, 0xffffffff81000000n, 0x1000000n, 8, 0x3000);
  row(120, PT_NOTE, 184, 0n, 0n, 40, 40);
  file.set([1, 2, 3, 4, 5, 6, 7, 8], 176);
  const words = [4, 5, 6, 0x006e6558, 0x61626364, 0x65, 4, 4, 18, 0x006e6558];
  words.forEach((word, index) => view.setUint32(184 + index * 4, word, true));
  return file;
}

test('headers and segments of an ELF64 file', () => {
  const file = sample();
  const image = parseElf(file, 'vmlinux');
  assert.equal(image.is64, true);
  assert.equal(image.machine, MACHINE_X86_64);
  assert.equal(image.entry, 0x1000010);
  const [load] = image.programHeaders;
  assert.equal(load!.physicalAddress, 0x1000000);
  assert.equal(load!.memorySize, 0x3000);
  assert.equal(load!.flags, 5);
  assert.deepEqual([...segmentBytes(file, load!)], [1, 2, 3, 4, 5, 6, 7, 8]);
});

test('notes are padded to four bytes, and one that runs over its segment is not read', () => {
  const file = sample();
  const notes = elfNotes(file, parseElf(file, 'vmlinux'));
  assert.deepEqual(notes, [{ name: 'Xen', type: 6, description: Uint8Array.of(0x64, 0x63, 0x62, 0x61, 0x65) }]);
});

test('a file that is cut off anywhere is refused by name', () => {
  const file = sample();
  fc.assert(
    fc.property(fc.integer({ min: 16, max: file.length - 1 }), (length) => {
      assert.throws(
        () => parseElf(file.slice(0, length), 'vmlinux'),
        (error) => error instanceof UserError && /^vmlinux is truncated/.test(error.message),
      );
    }),
  );
  assert.throws(() => parseElf(file.slice(0, 3), 'vmlinux'), /vmlinux is not an ELF file/);
});

test('wrong class, byte order and sizes are named', () => {
  const change = (at: number, value: number): Uint8Array => {
    const file = sample();
    file[at] = value;
    return file;
  };
  assert.throws(() => parseElf(change(5, 2), 'k'), /big-endian/);
  assert.throws(() => parseElf(change(4, 7), 'k'), /class 7/);
  assert.throws(() => parseElf(change(54, 8), 'k'), /program headers of 8 bytes/);
  assert.throws(() => parseElf(change(64 + 41, 0), 'k'), /segment 0 is smaller in memory/);
});

test('the program that runs this test reads as ELF', { skip: process.platform !== 'linux' }, () => {
  const image = parseElf(new Uint8Array(readFileSync(process.execPath)), 'node');
  assert.ok(image.programHeaders.filter((header) => header.type === PT_LOAD).length >= 2);
});
