// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { elfNeeds, isElf64, moduleInfo } from './elf-needs.ts';

const IDENT = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1];

/** A file with two program headers and a dynamic section, laid out by hand after the System V ABI; loaded at 0x400000. */
function dynamicElf(): Buffer {
  const file = Buffer.alloc(0x300);
  Buffer.from(IDENT).copy(file);
  file.writeBigUInt64LE(0x40n, 0x20);
  file.writeUInt16LE(56, 0x36);
  file.writeUInt16LE(3, 0x38);
  const header = (index: number, type: number, offset: number, address: number, size: number) => {
    const at = 0x40 + index * 56;
    file.writeUInt32LE(type, at);
    [offset, address, 0, size].forEach((value, i) => file.writeBigUInt64LE(BigInt(value), at + 8 + i * 8));
  };
  header(0, 3, 0x100, 0x400100, 20);
  header(1, 1, 0, 0x400000, 0x300);
  header(2, 2, 0x200, 0x400200, 96);
  file.write('/lib64/ld.so\0', 0x100);
  file.write('\0liba.so.1\0libb.so\0$ORIGIN/x:/y\0', 0x120);
  [
    [5, 0x400120],
    [1, 1],
    [1, 11],
    [29, 19],
    [0, 0],
    [1, 1],
  ].forEach(([tag, value], index) => {
    file.writeBigUInt64LE(BigInt(tag!), 0x200 + index * 16);
    file.writeBigUInt64LE(BigInt(value!), 0x208 + index * 16);
  });
  return file;
}

/** A relocatable file with sections `.shstrtab` and `.modinfo`. */
function moduleElf(info: string): Buffer {
  const file = Buffer.alloc(0x300);
  Buffer.from(IDENT).copy(file);
  file.writeBigUInt64LE(0x40n, 0x28);
  file.writeUInt16LE(64, 0x3a);
  file.writeUInt16LE(2, 0x3c);
  file.writeUInt16LE(0, 0x3e);
  const section = (index: number, name: number, offset: number, size: number) => {
    file.writeUInt32LE(name, 0x40 + index * 64);
    file.writeBigUInt64LE(BigInt(offset), 0x58 + index * 64);
    file.writeBigUInt64LE(BigInt(size), 0x60 + index * 64);
  };
  const names = '.shstrtab\0.modinfo\0';
  section(0, 0, 0x100, names.length);
  section(1, 10, 0x180, info.length);
  file.write(names, 0x100);
  file.write(info, 0x180);
  return file;
}

test('interpreter, libraries and search path; nothing after DT_NULL', () => {
  assert.deepEqual(elfNeeds(dynamicElf()), {
    interpreter: '/lib64/ld.so',
    libraries: ['liba.so.1', 'libb.so'],
    searchPath: ['$ORIGIN/x', '/y'],
  });
});

test('the program that runs this test needs the C library', { skip: process.platform !== 'linux' }, async () => {
  const { readFile } = await import('node:fs/promises');
  const needs = elfNeeds(await readFile(process.execPath));
  assert.match(needs.interpreter!, /ld-/);
  assert.ok(needs.libraries.some((name) => name.startsWith('libc.so')));
});

test('module information', () => {
  const info = moduleInfo(moduleElf('license=GPL\0depends=kvm,irqbypass\0parm=a:b=c\0parm=d\0'));
  assert.deepEqual(info.get('depends'), ['kvm,irqbypass']);
  assert.deepEqual(info.get('parm'), ['a:b=c', 'd']);
});

test('other files and truncated ones are refused', () => {
  assert.equal(isElf64(Buffer.from('#!/bin/sh')), false);
  assert.throws(() => elfNeeds(Buffer.from('#!/bin/sh')), /64-bit little-endian/);
  for (const size of [0x50, 0x105, 0x208]) assert.throws(() => elfNeeds(dynamicElf().subarray(0, size)), /truncated/);
  assert.throws(() => moduleInfo(dynamicElf()), /no section|truncated/);
});
