// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readText } from '../formats/ascii.ts';
import { planBoot } from './kernel.ts';
import { pcLayout } from './layout.ts';
import { memoryOf } from './plan-memory.ts';
import type { BootModule, BootPlan } from './plan.ts';
import { concatenate } from './structure.ts';
import { multiboot1Header, syntheticElf } from './synthetic-kernels.ts';

const modules: BootModule[] = [
  { name: 'a', bytes: Uint8Array.of(1, 2, 3), commandLine: 'a args' },
  { name: 'b', bytes: new Uint8Array(0x1001).fill(4), commandLine: 'b' },
];
function plan(kernel: Uint8Array, commandLine = 'x y', mebibytes = 64): BootPlan {
  return planBoot(
    { kernel, kernelName: 'dir/test.flat', commandLine, modules },
    pcLayout({ memoryBytes: mebibytes * 2 ** 20 }),
  );
}
const elf = (flags: number, physicalAddress = 0x400000): Uint8Array =>
  syntheticElf(32, physicalAddress + 12, [{ physicalAddress, bytes: multiboot1Header(flags), memorySize: 0x2100 }]);

test('an ELF32 kernel is loaded, its modules follow it on pages', () => {
  const { entry, writes, kind } = plan(elf(3));
  const memory = memoryOf(writes);
  assert.equal(kind, 'multiboot1');
  assert.equal(entry.rip, 0x40000c);
  assert.equal(entry.general.rax, 0x2badb002);
  assert.equal(entry.cr0, 0x11);
  assert.equal(memory.u32(0x400000), 0x1badb002);
  const list = memory.u32(entry.general.rbx + 24);
  assert.equal(memory.u32(entry.general.rbx + 20), 2);
  const rows = [0, 16].map((at) => [0, 4, 8].map((field) => memory.u32(list + at + field)));
  assert.deepEqual(
    rows.map((row) => row.slice(0, 2)),
    [
      [0x403000, 0x403003],
      [0x404000, 0x405001],
    ],
  );
  assert.deepEqual(
    rows.map((row) => readText(memory.bytes(row[2]!, 16), 0)),
    ['a args', 'b'],
  );
  assert.deepEqual([...memory.bytes(0x403000, 4)], [1, 2, 3, 0]);
});

test('the information structure: sizes, map, command line with the kernel first, loader name', () => {
  const { entry, writes, memoryMap } = plan(elf(3));
  const memory = memoryOf(writes);
  const info = entry.general.rbx;
  assert.equal(memory.u32(info), 0b10_0100_1101);
  assert.deepEqual([memory.u32(info + 4), memory.u32(info + 8)], [639, 63 * 1024]);
  assert.equal(readText(memory.bytes(memory.u32(info + 16), 64), 0), 'dir/test.flat x y');
  assert.equal(readText(memory.bytes(memory.u32(info + 64), 64), 0), 'turtles');
  assert.equal(memory.u32(info + 44), memoryMap.length * 24);
  let at = memory.u32(info + 48);
  for (const region of memoryMap) {
    assert.equal(memory.u32(at), 20);
    assert.deepEqual(
      [memory.u64(at + 4), memory.u64(at + 12), memory.u32(at + 20)],
      [BigInt(region.base), BigInt(region.size), region.type],
    );
    at += 24;
  }
});

test('without arguments the command line is the kernel alone', () => {
  const { entry, writes } = plan(elf(3), '');
  const memory = memoryOf(writes);
  assert.equal(readText(memory.bytes(memory.u32(entry.general.rbx + 16), 64), 0), 'dir/test.flat');
});

test('address fields win over ELF', () => {
  const load = [0x200010, 0x200000, 0x200100, 0x200400, 0x200020];
  const kernel = concatenate([
    new Uint8Array(0x30).fill(1),
    new Uint8Array(16).fill(2),
    multiboot1Header(0x10000, ...load),
    new Uint8Array(0x200).fill(3),
  ]);
  const { entry, writes } = plan(kernel);
  const memory = memoryOf(writes);
  assert.equal(entry.rip, 0x200020);
  assert.deepEqual([memory.u32(0x200000), memory.u32(0x200010), memory.u32(0x200100)], [0x02020202, 0x1badb002, 0]);
  assert.throws(
    () => plan(kernel.slice(0, 0x100)),
    /dir\/test.flat is truncated: its multiboot header loads up to byte 304/,
  );
});

test('a kernel in low memory keeps clear of what the loader puts there', () => {
  const { entry, writes } = plan(elf(3, 0x4000));
  memoryOf(writes);
  assert.equal(entry.rip, 0x400c);
  assert.ok(entry.general.rbx + 116 <= 0x4000 || entry.general.rbx >= 0x4000 + 0x2100);
});

test('demands that nobody defined are refused, a video mode is remarked on', () => {
  assert.throws(() => plan(elf(0x100)), /demands multiboot features 0x100/);
  assert.throws(
    () => plan(concatenate([multiboot1Header(3), new Uint8Array(100)])),
    /without load addresses and is not ELF/,
  );
  assert.match(plan(elf(4)).remarks.join(), /asks for a video mode: there is no display/);
});

test('too little memory for a module says how much it takes', () => {
  assert.throws(() => plan(elf(3), '', 4), /dir\/test.flat needs at least 5 MiB, the machine has 4 MiB/);
});
