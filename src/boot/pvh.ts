// SPDX-License-Identifier: Apache-2.0
// See: Xen public/arch-x86/hvm/start_info.h and docs/misc/pvh.pandoc, PVH entry point.

import { UserError } from '../base/errors.ts';
import { nulTerminated } from '../formats/ascii.ts';
import { elfNotes, parseElf, PT_LOAD, segmentBytes } from '../formats/elf.ts';
import type { ElfImage } from '../formats/elf.ts';
import type { PhysicalAddress } from '../hardware/memory.ts';
import { packRegions } from './e820.ts';
import { globalDescriptorTable, protectedModeEntry } from './entry-state.ts';
import type { Firmware } from './firmware.ts';
import type { MemoryPlacer } from './placement.ts';
import type { BootModule, BootRequest, InitialState } from './plan.ts';
import { structure } from './structure.ts';

const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const START_INFO_MAGIC = 0x336ec578;

/** The 32-bit entry of an ELF kernel that has a PVH note; undefined if it has none. */
function pvhEntry(bytes: Uint8Array, image: ElfImage): PhysicalAddress | undefined {
  const note = elfNotes(bytes, image).find(({ name, type }) => name === 'Xen' && type === XEN_ELFNOTE_PHYS32_ENTRY);
  if (note === undefined || note.description.length < 4) return undefined;
  const view = new DataView(note.description.buffer, note.description.byteOffset);
  return view.getUint32(0, true);
}

/** Places an ELF kernel, its modules and hvm_start_info; returns the state to enter it with. */
export function planPvh(request: BootRequest, firmware: Firmware, placer: MemoryPlacer): InitialState {
  const image = parseElf(request.kernel, request.kernelName);
  const rip = pvhEntry(request.kernel, image);
  if (rip === undefined) {
    throw new UserError(
      `${request.kernelName} is an ELF file without a PVH entry note`,
      'give a bzImage, or a vmlinux built with CONFIG_PVH',
    );
  }
  loadSegments(request, image, placer);
  const modules = request.modules.map((module) => placeModule(module, placer));
  const rbx = placeStartInfo(request, firmware, modules, placer);
  const gdt = placer.low(globalDescriptorTable(32), 8, 'global descriptor table');
  return protectedModeEntry({ rip, gdt, general: { rbx } });
}

/** Copies every loadable segment to its physical address. */
export function loadSegments(request: BootRequest, image: ElfImage, placer: MemoryPlacer): void {
  const loadable = image.programHeaders.filter((header) => header.type === PT_LOAD && header.memorySize > 0);
  if (loadable.length === 0)
    throw new UserError(`${request.kernelName} has nothing to load`, 'give a linked kernel, not an object file');
  for (const header of loadable) {
    placer.fixed(
      header.physicalAddress,
      header.memorySize,
      segmentBytes(request.kernel, header),
      `the kernel ${request.kernelName}`,
    );
  }
}

interface PlacedModule {
  readonly address: PhysicalAddress;
  readonly size: number;
  readonly commandLine: PhysicalAddress;
}

function placeModule(module: BootModule, placer: MemoryPlacer): PlacedModule {
  const address = placer.high(module.bytes, placer.end, `initrd ${module.name}`);
  const commandLine = placer.low(nulTerminated(module.commandLine), 16, `command line of ${module.name}`);
  return { address, size: module.bytes.length, commandLine };
}

function placeStartInfo(
  request: BootRequest,
  firmware: Firmware,
  modules: readonly PlacedModule[],
  placer: MemoryPlacer,
): PhysicalAddress {
  const list = modules.length === 0 ? 0 : placer.low(moduleList(modules), 8, 'hvm_modlist');
  const commandLine = placer.low(nulTerminated(request.commandLine), 16, 'command line');
  const map = placer.low(packRegions(firmware.memoryMap, 4), 8, 'hvm_memmap');
  // prettier-ignore
  const startInfo = structure([
    ['magic',          4, START_INFO_MAGIC],
    ['version',        4, 1],
    ['flags',          4, 0],
    ['nr_modules',     4, modules.length],
    ['modlist_paddr',  8, list],
    ['cmdline_paddr',  8, commandLine],
    ['rsdp_paddr',     8, firmware.rsdp],
    ['memmap_paddr',   8, map],
    ['memmap_entries', 4, firmware.memoryMap.length],
    ['reserved',       4, 0],
  ]);
  return placer.low(startInfo, 8, 'hvm_start_info');
}

function moduleList(modules: readonly PlacedModule[]): Uint8Array {
  return structure(
    modules.flatMap(({ address, size, commandLine }) => [
      ['paddr', 8, address] as const,
      ['size', 8, size] as const,
      ['cmdline_paddr', 8, commandLine] as const,
      ['reserved', 8, 0] as const,
    ]),
  );
}
