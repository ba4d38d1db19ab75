// SPDX-License-Identifier: Apache-2.0

import { UserError } from '../base/errors.ts';
import { hex } from '../base/hex.ts';
import { isElf, MACHINE_386, MACHINE_X86_64, parseElf, PT_LOAD } from '../formats/elf.ts';
import type { ElfImage } from '../formats/elf.ts';
import type { LoadAddresses } from '../formats/multiboot.ts';
import type { PhysicalAddress } from '../hardware/memory.ts';
import type { MemoryPlacer } from './placement.ts';
import type { BootRequest } from './plan.ts';
import { loadSegments } from './pvh.ts';

/** A multiboot 2 header's load address that means: the file's first byte lies at the header's address minus its offset. */
const FROM_FILE_START = 0xffffffff;

/** What either header says about loading. `offset` is the header's place in the file. */
export interface MultibootHeader {
  readonly offset: number;
  readonly addresses: LoadAddresses | undefined;
  readonly entry: number | undefined;
}

/** Loads by the header's addresses if it has any, else as ELF. Returns the entry's physical address. */
export function loadMultibootImage(
  request: BootRequest,
  header: MultibootHeader,
  placer: MemoryPlacer,
): PhysicalAddress {
  if (header.addresses !== undefined) return loadByAddresses(request, header, header.addresses, placer);
  const name = request.kernelName;
  if (!isElf(request.kernel)) {
    throw new UserError(
      `${name} has a multiboot header without load addresses and is not ELF`,
      'set the address fields, or link it as ELF',
    );
  }
  const image = parseElf(request.kernel, name);
  if (image.machine !== MACHINE_386 && image.machine !== MACHINE_X86_64) {
    throw new UserError(
      `${name} is an ELF file for machine ${image.machine}, not for x86`,
      'give a kernel built for x86',
    );
  }
  loadSegments(request, image, placer);
  return header.entry ?? physicalEntry(image, name);
}

function loadByAddresses(
  request: BootRequest,
  header: MultibootHeader,
  at: LoadAddresses,
  placer: MemoryPlacer,
): PhysicalAddress {
  const name = request.kernelName;
  const load = at.load === FROM_FILE_START ? at.header - header.offset : at.load;
  const from = header.offset - (at.header - load);
  const size = at.loadEnd === 0 ? request.kernel.length - from : at.loadEnd - load;
  if (from < 0 || size <= 0 || header.entry === undefined) {
    throw new UserError(
      `${name} has a multiboot header whose load addresses contradict each other`,
      'build the kernel again',
    );
  }
  if (from + size > request.kernel.length) {
    throw new UserError(
      `${name} is truncated: its multiboot header loads up to byte ${from + size}, the file has ${request.kernel.length}`,
      'copy or build the file again',
    );
  }
  const memorySize = Math.max(size, at.bssEnd === 0 ? 0 : at.bssEnd - load);
  placer.fixed(load, memorySize, request.kernel.subarray(from, from + size), `the kernel ${name}`);
  return header.entry;
}

/** e_entry is a virtual address if it lies in a segment's virtual range (a kernel linked high), else already physical. */
function physicalEntry(image: ElfImage, name: string): PhysicalAddress {
  const home = image.programHeaders.find(
    (header) =>
      header.type === PT_LOAD &&
      image.entry >= header.virtualAddress &&
      image.entry < header.virtualAddress + header.memorySize,
  );
  const entry = home === undefined ? image.entry : image.entry - home.virtualAddress + home.physicalAddress;
  if (entry < 2 ** 32) return entry;
  throw new UserError(
    `${name} enters at ${hex(entry)}, beyond 32 bits`,
    'a multiboot kernel starts in 32-bit mode below 4 GiB',
  );
}
