// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readText } from '../formats/ascii.ts';
import { planBoot } from './kernel.ts';
import { pcLayout } from './layout.ts';
import { TAG } from './multiboot2.ts';
import { memoryOf } from './plan-memory.ts';
import type { BootPlan } from './plan.ts';
import { multiboot2Header, syntheticElf, type SyntheticTag } from './synthetic-kernels.ts';

const elf = (tags: readonly SyntheticTag[], architecture = 0): Uint8Array =>
  syntheticElf(32, 0x200100, [
    { physicalAddress: 0x200000, bytes: multiboot2Header(tags, architecture), memorySize: 0x1800 },
  ]);
function plan(kernel: Uint8Array): BootPlan {
  const modules = [{ name: 'm', bytes: Uint8Array.of(5), commandLine: 'm args' }];
  return planBoot({ kernel, kernelName: 'xen', commandLine: 'noreboot', modules }, pcLayout());
}

/** The tags that a plan leaves, by type; asserts the walk ends exactly at total_size. */
function tagsOf({ entry, writes }: BootPlan): Map<number, Uint8Array> {
  const memory = memoryOf(writes);
  const info = entry.general.rbx;
  const tags = new Map<number, Uint8Array>();
  let at = info + 8;
  for (let type = -1; type !== TAG.end;) {
    type = memory.u32(at);
    const size = memory.u32(at + 4);
    tags.set(type, memory.bytes(at + 8, size - 8));
    at += Math.ceil(size / 8) * 8;
  }
  assert.equal(at - info, memory.u32(info));
  return tags;
}
const u32 = (bytes: Uint8Array, at: number): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);

test('registers and every tag', () => {
  const result = plan(elf([{ type: 1, words: [1, 6, 15] }, { type: 6 }]));
  const tags = tagsOf(result);
  assert.equal(result.kind, 'multiboot2');
  assert.equal(result.entry.rip, 0x200100);
  assert.equal(result.entry.general.rax, 0x36d76289);
  assert.equal(readText(tags.get(TAG.commandLine)!, 0), 'xen noreboot');
  assert.equal(readText(tags.get(TAG.loaderName)!, 0), 'turtles');
  assert.deepEqual([u32(tags.get(TAG.module)!, 0), u32(tags.get(TAG.module)!, 4)], [0x202000, 0x202001]);
  assert.equal(readText(tags.get(TAG.module)!, 8), 'm args');
  assert.deepEqual([...new Uint32Array(tags.get(TAG.basicMemory)!.slice().buffer)], [639, 255 * 1024]);
  assert.equal(u32(tags.get(TAG.memoryMap)!, 0), 24);
  assert.equal(tags.get(TAG.memoryMap)!.length, 8 + 24 * result.memoryMap.length);
  assert.equal(tags.get(TAG.acpiOld)!.length, 20);
  assert.equal(readText(tags.get(TAG.acpiNew)!, 0, 8), 'RSD PTR ');
  assert.equal(u32(tags.get(TAG.loadBase)!, 0), 0x200000);
});

test('the entry address tag wins over ELF', () => {
  assert.equal(plan(elf([{ type: 3, words: [0x200040] }])).entry.rip, 0x200040);
});

test('what the kernel cannot do without and we lack is refused; what it can, is not', () => {
  assert.throws(() => plan(elf([{ type: 1, words: [8] }])), /information of type 8/);
  assert.throws(() => plan(elf([{ type: 5, words: [0, 0, 0] }])), /demands a framebuffer/);
  assert.throws(() => plan(elf([{ type: 4, words: [1] }])), /demands a console on the display/);
  assert.throws(() => plan(elf([], 4)), /for architecture 4/);
  assert.equal(
    plan(
      elf([
        { type: 4, words: [2] },
        { type: 1, optional: true, words: [8] },
        { type: 10, optional: true, words: [0, 0, 0, 0] },
      ]),
    ).remarks.length,
    0,
  );
  assert.match(plan(elf([{ type: 5, optional: true, words: [0, 0, 0] }])).remarks.join(), /framebuffer/);
});
