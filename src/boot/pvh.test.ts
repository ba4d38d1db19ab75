// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readText } from '../formats/ascii.ts';
import { planBoot } from './kernel.ts';
import { pcLayout } from './layout.ts';
import { memoryOf } from './plan-memory.ts';
import { pvhNote, syntheticElf } from './synthetic-kernels.ts';

const code = Uint8Array.of(0xf4, 0xeb, 0xfd);
const kernelWith = (noteType: number): Uint8Array =>
  syntheticElf(64, 0, [
    { physicalAddress: 0x1000000, virtualAddress: 0xffff81000000, bytes: code, memorySize: 0x4000 },
    { type: 4, physicalAddress: 0, bytes: pvhNote(0x1000100, noteType) },
  ]);
const request = {
  kernel: kernelWith(18),
  kernelName: 'vmlinux',
  commandLine: 'quiet',
  modules: [{ name: 'i', bytes: new Uint8Array(100).fill(9), commandLine: 'i args' }],
};

test('an ELF kernel enters at its PVH note with hvm_start_info in EBX', () => {
  const { entry, writes, memoryMap, kind } = planBoot(request, pcLayout());
  const memory = memoryOf(writes);
  const info = entry.general.rbx;
  assert.equal(kind, 'pvh');
  assert.equal(entry.rip, 0x1000100);
  assert.deepEqual([entry.cr0, entry.cr3, entry.cr4, entry.efer], [0x11, 0, 0, 0]);
  assert.deepEqual(entry.segments.tr, { selector: 0, base: 0, limit: 0x67, accessRights: 0x8b });
  assert.deepEqual(memory.bytes(0x1000000, 3), code);
  assert.equal(memory.u32(info), 0x336ec578);
  assert.equal(memory.u32(info + 4), 1);
  assert.equal(readText(memory.bytes(Number(memory.u64(info + 24)), 16), 0), 'quiet');
  assert.equal(readText(memory.bytes(Number(memory.u64(info + 32)), 8), 0), 'RSD PTR ');
  const map = Number(memory.u64(info + 40));
  assert.equal(memory.u32(info + 48), memoryMap.length);
  assert.equal(memory.u64(map + 24 * (memoryMap.length - 1)), BigInt(memoryMap.at(-1)!.base));
  assert.equal(memory.u32(info + 12), 1);
  const module = Number(memory.u64(info + 16));
  assert.equal(memory.u64(module + 8), 100n);
  assert.deepEqual(memory.bytes(Number(memory.u64(module)), 100), new Uint8Array(100).fill(9));
  assert.equal(readText(memory.bytes(Number(memory.u64(module + 16)), 16), 0), 'i args');
});

test('an ELF file without the note is refused', () => {
  assert.throws(
    () => planBoot({ ...request, kernel: kernelWith(17) }, pcLayout()),
    /vmlinux is an ELF file without a PVH entry note/,
  );
});

test('a note without a segment to load is refused', () => {
  const kernel = syntheticElf(64, 0, [{ type: 4, physicalAddress: 0, bytes: pvhNote(0x1000100) }]);
  assert.throws(() => planBoot({ ...request, kernel }, pcLayout()), /vmlinux has nothing to load/);
});

test('too little memory for the kernel says how much it takes', () => {
  assert.throws(
    () => planBoot(request, pcLayout({ memoryBytes: 8 * 2 ** 20 })),
    /vmlinux needs at least 17 MiB, the machine has 8 MiB/,
  );
});
