// SPDX-License-Identifier: Apache-2.0

import { UserError } from '../base/errors.ts';
import { isBzImage } from '../formats/bzimage.ts';
import { isElf } from '../formats/elf.ts';
import { findMultiboot1, findMultiboot2 } from '../formats/multiboot.ts';
import { ONE_MIB } from './e820.ts';
import { firmware, type Firmware } from './firmware.ts';
import type { PcLayout } from './layout.ts';
import { planLinux } from './linux.ts';
import { planMultiboot1 } from './multiboot1.ts';
import { planMultiboot2 } from './multiboot2.ts';
import { MemoryPlacer, tooLittleMemory } from './placement.ts';
import type { BootPlan, BootRequest, InitialState, KernelKind } from './plan.ts';
import { planPvh } from './pvh.ts';

/** What people give instead of a kernel, by the file's first bytes. */
// prettier-ignore
const OTHER_FORMATS: readonly [start: string, what: string, hint: string][] = [
  ['1f8b',         'compressed with gzip',      'unpack it first: gunzip'],
  ['fd377a585a',   'compressed with xz',        'unpack it first: unxz'],
  ['28b52ffd',     'compressed with zstd',      'unpack it first: unzstd'],
  ['425a68',       'compressed with bzip2',     'unpack it first: bunzip2'],
  ['04224d18',     'compressed with lz4',       'unpack it first: unlz4'],
  ['213c617263683e', 'an ar archive or a .deb', 'unpack it, and give the boot/vmlinuz-* inside'],
  ['303730373031', 'a cpio archive',            'it looks like an initrd: give it with --initrd'],
  ['514649fb',     'a qcow2 disk image',        'give it with --drive, and a kernel with --kernel'],
];

/**
 * How a kernel is started, in QEMU's order: a multiboot header wins, then Linux's, then an ELF file's PVH note.
 * Throws UserError for anything else. `name` is the file's name, for messages.
 */
export function detectKernel(bytes: Uint8Array, name: string): KernelKind {
  if (bytes.length === 0) throw new UserError(`${name} is empty`, 'give a kernel (--kernel)');
  if (findMultiboot1(bytes, name) !== undefined) return 'multiboot1';
  if (findMultiboot2(bytes, name) !== undefined) return 'multiboot2';
  if (isBzImage(bytes)) return 'linux';
  if (isElf(bytes)) return 'pvh';
  const start = Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
  const known = OTHER_FORMATS.find(([magic]) => start.startsWith(magic));
  if (known !== undefined) throw new UserError(`${name} is not a kernel: it is ${known[1]}`, known[2]);
  throw new UserError(
    `${name} is not a kernel this machine can start`,
    'give a Linux bzImage, a multiboot kernel, or an ELF file with a PVH entry note',
  );
}

/** Everything the machine applies before the first instruction, for any kind of kernel. Throws UserError. */
export function planBoot(request: BootRequest, layout: PcLayout): BootPlan {
  const kind = detectKernel(request.kernel, request.kernelName);
  if (layout.memoryBytes < 2 * ONE_MIB) throw tooLittleMemory(2 * ONE_MIB, layout.memoryBytes, 'a PC');
  const left = firmware(layout);
  const placer = new MemoryPlacer(left.memoryMap);
  const remarks: string[] = [];
  const entry = planKernel(kind, request, left, placer, remarks);
  return { kind, writes: [...left.writes, ...placer.writes], entry, memoryMap: left.memoryMap, remarks };
}

function planKernel(
  kind: KernelKind,
  request: BootRequest,
  left: Firmware,
  placer: MemoryPlacer,
  remarks: string[],
): InitialState {
  const { kernel, kernelName } = request;
  switch (kind) {
    case 'multiboot1':
      return planMultiboot1(request, findMultiboot1(kernel, kernelName)!, left, placer, remarks);
    case 'multiboot2':
      return planMultiboot2(request, findMultiboot2(kernel, kernelName)!, left, placer, remarks);
    case 'linux':
      return planLinux(request, left, placer);
    case 'pvh':
      return planPvh(request, left, placer);
  }
}
