// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory } from './memory.ts';

const memory = new Memory(1, 1 << 20, 0xe0000000);
const PAGE = memory.layout.ram + 0x3000;

test('blocks are copied as by memmove', () => {
  const { u8, blocks } = memory;
  for (const distance of [-7, 7]) {
    for (let i = 0; i < 64; i++) u8[PAGE + 100 + i] = i;
    blocks.copy(PAGE + 100 + distance, PAGE + 100, 64);
    for (let i = 0; i < 64; i++) assert.equal(u8[PAGE + 100 + distance + i], i);
  }
});

test('blocks are filled, and nothing beside them', () => {
  const { u8, blocks } = memory;
  u8.fill(1, PAGE, PAGE + 100);
  blocks.fill(PAGE + 3, 0x1ff, 10);
  assert.deepEqual([...u8.subarray(PAGE + 2, PAGE + 14)], [1, ...Array<number>(10).fill(0xff), 1]);
});

test('a page is still zero unless one of its bytes is not, or compiled code may have written it', () => {
  memory.u8.fill(0, PAGE, PAGE + 0x1000);
  assert.equal(memory.stillZero(PAGE), true);
  for (const at of [0, 7, 63, 64, 2048, 0xfff]) {
    memory.u8[PAGE + at] = 0x80;
    assert.equal(memory.stillZero(PAGE), false, `byte ${at}`);
    memory.u8[PAGE + at] = 0;
  }
  memory.u8[PAGE - 1] = memory.u8[PAGE + 0x1000] = 1;
  assert.equal(memory.stillZero(PAGE), true);
  memory.written[PAGE >>> 12] = 1;
  assert.equal(memory.stillZero(PAGE), false);
});

test('a machine with a small pool of records has that much less memory', () => {
  const small = new Memory(1, 1 << 20, 0xe0000000, 1 << 20);
  const saved = 95 << 20;
  assert.equal(small.layout.recordPoolEnd - small.layout.recordPool, 1 << 20);
  assert.equal(small.buffer.byteLength, memory.buffer.byteLength - saved);
  assert.equal(small.layout.ram, memory.layout.ram - saved);
});
