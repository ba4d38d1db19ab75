// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { UserError } from '../base/errors.ts';
import { readText } from '../formats/ascii.ts';
import { planBoot } from './kernel.ts';
import { pcLayout } from './layout.ts';
import { memoryOf } from './plan-memory.ts';
import type { BootModule, BootPlan } from './plan.ts';
import { syntheticBzImage } from './synthetic-kernels.ts';

const MIB = 2 ** 20;
const initrd = (size: number): BootModule => ({
  name: 'initrd.img',
  bytes: new Uint8Array(size).fill(7),
  commandLine: '',
});

function plan(changes = {}, modules: BootModule[] = [], mebibytes = 64, commandLine = 'console=ttyS0'): BootPlan {
  const kernel = syntheticBzImage(changes);
  return planBoot({ kernel, kernelName: 'vmlinuz', commandLine, modules }, pcLayout({ memoryBytes: mebibytes * MIB }));
}

describe('a bzImage', () => {
  test('enters 64-bit mode at code32_start + 200h with boot_params in RSI', () => {
    const { entry, kind } = plan();
    assert.equal(kind, 'linux');
    assert.equal(entry.rip, 0x100200);
    assert.equal(entry.efer, 0x500);
    assert.equal(entry.cr0, 0x80000011);
    assert.equal(entry.cr4, 0x20);
    assert.equal(entry.segments.cs.selector, 0x10);
    assert.equal(entry.segments.cs.accessRights, 0xa09b);
    assert.equal(entry.segments.ds.selector, 0x18);
    assert.equal(entry.rflags & 0x200, 0);
  });

  test('has its descriptor table and page tables in memory as the registers say', () => {
    const { entry, writes } = plan();
    const memory = memoryOf(writes);
    assert.equal(memory.u64(entry.gdtr.base + 0x10), 0x00af9b000000ffffn);
    assert.equal(memory.u64(entry.gdtr.base + 0x18), 0x00cf93000000ffffn);
    for (const address of [0, 0x100200, 0x12345678, 0xb0000000, 0xffffffff]) {
      const pml4 = memory.u64(entry.cr3);
      const pdpt = memory.u64(Number(pml4 & ~0xfffn) + Math.floor(address / 2 ** 30) * 8);
      const entryAt = Number(pdpt & ~0xfffn) + (Math.floor(address / 2 ** 21) % 512) * 8;
      assert.equal(pml4 & pdpt & 1n, 1n);
      assert.equal(memory.u64(entryAt), BigInt(Math.floor(address / 2 ** 21)) * 0x200000n + 0x83n);
    }
  });

  test('finds in boot_params its own header, the map, the command line, the initrd and the RSDP', () => {
    const { entry, writes, memoryMap } = plan({}, [initrd(5000)]);
    const memory = memoryOf(writes);
    const parameters = entry.general.rsi;
    assert.equal(memory.u32(parameters + 0x202), 0x53726448);
    assert.equal(memory.u32(parameters + 0x210) & 0xff, 0xff, 'type_of_loader');
    assert.equal(memory.u32(parameters + 0x1e8) & 0xff, memoryMap.length);
    assert.equal(memory.u64(parameters + 0x2d0 + 20 * (memoryMap.length - 1)), BigInt(memoryMap.at(-1)!.base));
    assert.equal(readText(memory.bytes(memory.u32(parameters + 0x228), 64), 0), 'console=ttyS0');
    const at = memory.u32(parameters + 0x218);
    assert.equal(memory.u32(parameters + 0x21c), 5000);
    assert.equal(at, 64 * MIB - 0x2000, 'as high as possible, on a page');
    assert.deepEqual(memory.bytes(at, 5000), new Uint8Array(5000).fill(7));
    assert.equal(readText(memory.bytes(Number(memory.u64(parameters + 0x70)), 8), 0), 'RSD PTR ');
    assert.equal(memory.u32(0x100000), 0xcccccccc);
  });

  test('keeps the initrd below initrd_addr_max', () => {
    const { entry, writes } = plan({ initrd_addr_max: 0x2ffffff }, [initrd(5000)]);
    assert.equal(memoryOf(writes).u32(entry.general.rsi + 0x218), 0x3000000 - 0x2000);
  });

  test('without XLF_KERNEL_64 enters 32-bit mode at code32_start', () => {
    const { entry, writes } = plan({ xloadflags: 0 });
    assert.equal(entry.rip, 0x100000);
    assert.equal(entry.cr0, 0x11);
    assert.equal(entry.efer, 0);
    assert.equal(entry.segments.cs.accessRights, 0xc09b);
    assert.equal(memoryOf(writes).u64(entry.gdtr.base + 0x10), 0x00cf9b000000ffffn);
  });
});

const refused = (pattern: RegExp) => (error: unknown) => error instanceof UserError && pattern.test(error.message);

test('what cannot be started is refused by name', () => {
  assert.throws(() => plan({ loadflags: 0 }), refused(/vmlinuz is a zImage/));
  assert.throws(() => plan({ cmdline_size: 5 }), refused(/command line has 13 bytes, vmlinuz takes 5/));
  assert.throws(() => plan({}, [initrd(1), initrd(1)]), refused(/one initrd, not 2/));
  assert.throws(() => plan({}, [], 16), refused(/vmlinuz needs at least 17 MiB, the machine has 16 MiB/));
  assert.throws(
    () => plan({}, [initrd(60 * MIB)]),
    refused(/initrd.img needs at least 77 MiB, the machine has 64 MiB/),
  );
  assert.throws(() => plan({ initrd_addr_max: 0x1fffff }, [initrd(5000)]), refused(/does not fit below 0x200000/));
});
