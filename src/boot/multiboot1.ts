// SPDX-License-Identifier: Apache-2.0
// See: Multiboot Specification 0.6.96, 3.2 Machine state and 3.3 Boot information format.

import { UserError } from '../base/errors.ts';
import { hex } from '../base/hex.ts';
import { nulTerminated } from '../formats/ascii.ts';
import {
  ADDRESS_FIELDS,
  ALIGN_MODULES,
  MEMORY_INFORMATION,
  MULTIBOOT1_BOOT_MAGIC,
  VIDEO_MODE,
} from '../formats/multiboot.ts';
import type { Multiboot1Header } from '../formats/multiboot.ts';
import type { PhysicalAddress } from '../hardware/memory.ts';
import { EBDA_BASE, ONE_MIB, type MemoryRegion } from './e820.ts';
import { globalDescriptorTable, protectedModeEntry } from './entry-state.ts';
import type { Firmware } from './firmware.ts';
import { loadMultibootImage } from './multiboot-image.ts';
import type { MemoryPlacer } from './placement.ts';
import type { BootModule, BootRequest, InitialState } from './plan.ts';
import { concatenate, structure, type FieldRow } from './structure.ts';

export const LOADER_NAME = 'turtles';

/** Which fields of the information structure are valid. */
// prettier-ignore
const INFORMATION = { memory: 1 << 0, commandLine: 1 << 2, modules: 1 << 3, memoryMap: 1 << 6, loaderName: 1 << 9 } as const;
const ALL_INFORMATION = Object.values(INFORMATION).reduce((all, bit) => all | bit, 0);
/** Flags 0..15 are requirements: a loader that does not know one must refuse. */
const KNOWN_REQUIREMENTS = ALIGN_MODULES | MEMORY_INFORMATION | VIDEO_MODE;

/** Places the kernel, its modules and the information structure; `remarks` gets what has no effect. */
export function planMultiboot1(
  request: BootRequest,
  header: Multiboot1Header,
  firmware: Firmware,
  placer: MemoryPlacer,
  remarks: string[],
): InitialState {
  checkRequirements(header, request.kernelName, remarks);
  const rip = loadMultibootImage(request, header, placer);
  const modules = request.modules.map((module) => placer.above(module.bytes, `module ${module.name}`));
  const rbx = placeInformation(request, modules, firmware, placer);
  const gdt = placer.low(globalDescriptorTable(32), 8, 'global descriptor table');
  return protectedModeEntry({ rip, gdt, general: { rax: MULTIBOOT1_BOOT_MAGIC, rbx } });
}

function checkRequirements(header: Multiboot1Header, name: string, remarks: string[]): void {
  const unknown = header.flags & 0xffff & ~KNOWN_REQUIREMENTS;
  if (unknown !== 0) {
    throw new UserError(
      `${name} demands multiboot features ${hex(unknown)} that do not exist`,
      'the specification defines bits 0 to 2 and 16',
    );
  }
  if ((header.flags & VIDEO_MODE) !== 0) remarks.push(`${name} asks for a video mode: there is no display`);
  if ((header.flags & ~ADDRESS_FIELDS) >>> 16 !== 0)
    remarks.push(`${name} sets multiboot flags ${hex(header.flags >>> 0)} of no meaning`);
}

function placeInformation(
  request: BootRequest,
  modules: readonly PhysicalAddress[],
  firmware: Firmware,
  placer: MemoryPlacer,
): PhysicalAddress {
  const map = memoryMapEntries(firmware.memoryMap);
  const mapAt = placer.low(map, 8, 'multiboot memory map');
  const commandLine = placer.low(nulTerminated(multibootCommandLine(request)), 16, 'command line');
  const loaderName = placer.low(nulTerminated(LOADER_NAME), 16, 'boot loader name');
  const listAt = modules.length === 0 ? 0 : placeModuleList(request.modules, modules, placer);
  const [lower, upper] = basicMemory(firmware.memoryMap);
  // prettier-ignore
  const information = structure([
    ['flags',            4, ALL_INFORMATION],
    ['mem_lower',        4, lower],
    ['mem_upper',        4, upper],
    ['boot_device',      4, 0],
    ['cmdline',          4, commandLine],
    ['mods_count',       4, modules.length],
    ['mods_addr',        4, listAt],
    ['syms',            16, new Uint8Array(16)],
    ['mmap_length',      4, map.length],
    ['mmap_addr',        4, mapAt],
    ['drives_length',    4, 0],
    ['drives_addr',      4, 0],
    ['config_table',     4, 0],
    ['boot_loader_name', 4, loaderName],
    ['apm_table',        4, 0],
    ['vbe and framebuffer', 44, new Uint8Array(44)],
  ]);
  return placer.low(information, 16, 'multiboot information');
}

/** The kernel's path comes first, as GRUB and QEMU have it. */
export function multibootCommandLine(request: BootRequest): string {
  return request.commandLine === '' ? request.kernelName : `${request.kernelName} ${request.commandLine}`;
}

/** mem_lower and mem_upper in KiB: below 640 KiB, and from 1 MiB to the first hole. */
export function basicMemory(map: readonly MemoryRegion[]): [lower: number, upper: number] {
  const main = map.find((region) => region.base === ONE_MIB);
  return [EBDA_BASE / 1024, Math.floor((main?.size ?? 0) / 1024)];
}

/** Each entry is preceded by its size, which does not count itself. */
function memoryMapEntries(map: readonly MemoryRegion[]): Uint8Array {
  // prettier-ignore
  return structure(map.flatMap(({ base, size, type }): FieldRow[] => [['entry size', 4, 20], ['base', 8, base], ['size', 8, size], ['type', 4, type]]));
}

function placeModuleList(
  modules: readonly BootModule[],
  addresses: readonly PhysicalAddress[],
  placer: MemoryPlacer,
): PhysicalAddress {
  const entries = modules.map((module, index) => {
    const start = addresses[index]!;
    const text = placer.low(nulTerminated(module.commandLine), 16, `command line of ${module.name}`);
    return structure([
      ['start', 4, start],
      ['end', 4, start + module.bytes.length],
      ['cmdline', 4, text],
      ['reserved', 4, 0],
    ]);
  });
  return placer.low(concatenate(entries), 16, 'multiboot module list');
}
